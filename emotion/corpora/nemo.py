"""nEMO: 9 Polish actors, 6 emotions, 90 sentences (Christop, LREC-COLING 2024).

Names such as ``EB0_anger_12``: speaker, emotion, number of the sentence, numbered within each speaker and emotion.
"""

from __future__ import annotations

import re
from pathlib import Path

from emotion.corpora.base import BAD_NAME, EmotionCorpus
from speech2vec.corpus.readers import NO_TRANSCRIPT, Problem, audio_files
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.guarded import read_csv

LABELS = {"neutral": "neu", "happiness": "hap", "sadness": "sad", "anger": "ang", "fear": None, "surprise": None}
EXPECTED = {"neutral": 809, "happiness": 749, "sadness": 769, "anger": 749, "fear": 736, "surprise": 669}
WOMEN = frozenset(("EB0", "IC0", "KD0", "MK0"))
TEXTS = "data.tsv"

_NAME = re.compile(r"([A-Z]{2}\d)_([a-z]+)_\d+")


def read_nemo(root: Path) -> EmotionCorpus:
    """Read nEMO from its audio folder (``samples``) or the folder above.

    The texts are read from the release's ``data.tsv`` (columns ``file_id`` and ``raw_text``) if it is in the audio
    folder or the one above; an utterance without one is noted.

    Raises
    ------
    UserError
        The folder contains no nEMO audio.
    """
    corpus = EmotionCorpus("nemo", LABELS, expected=EXPECTED)
    folder = root / "samples" if (root / "samples").is_dir() else root
    texts = _texts(next((path for path in (folder / TEXTS, folder.parent / TEXTS) if path.is_file()), None))
    for path in audio_files(folder):
        match = _NAME.fullmatch(path.stem)
        if not match:
            corpus.problems.append(Problem(path.stem, BAD_NAME, str(path)))
            continue
        speaker, label = match.groups()
        label = "surprise" if label == "surprised" else label  # its table has both names
        sex = "female" if speaker in WOMEN else "male"
        corpus.add(path.stem, path, texts.get(path.stem, ""), speaker, label, style="scripted", sex=sex)
    if not corpus.utterances:
        raise UserError(f"{root} contains no nEMO audio (samples/EB0_anger_1.wav etc.)")
    untold = [utterance.utterance_id for utterance in corpus.utterances if not utterance.text]
    corpus.notes += [Problem(name, NO_TRANSCRIPT, f"not in {TEXTS}") for name in untold]
    return corpus


def _texts(table: Path | None) -> dict[str, str]:
    """Each file's orthographic transcript, by its name without suffix."""
    if table is None:
        return {}
    rows = (row for _, row in read_csv(table, "\t")[1])
    return {Path(str(row.get("file_id"))).stem: " ".join((row.get("raw_text") or "").split()) for row in rows}
