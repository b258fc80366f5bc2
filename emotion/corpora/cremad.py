"""CREMA-D: 91 actors, 6 emotions, twelve sentences (Cao et al., IEEE Trans. Affective Computing 5(4), 2014).

Names such as ``1001_DFA_ANG_XX``: actor, sentence, intended emotion, intensity.
"""

from __future__ import annotations

import re
from pathlib import Path

from emotion.corpora.base import BAD_NAME, EmotionCorpus
from speech2vec.corpus.readers import Problem, audio_files
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.guarded import read_csv

LABELS = {"NEU": "neu", "HAP": "hap", "SAD": "sad", "ANG": "ang", "DIS": None, "FEA": None}
EXPECTED = {label: 1087 if label == "NEU" else 1271 for label in LABELS}
SENTENCES = {
    "IEO": "It's eleven o'clock",
    "TIE": "That is exactly what happened",
    "IOM": "I'm on my way to the meeting",
    "IWW": "I wonder what this is about",
    "TAI": "The airplane is almost full",
    "MTI": "Maybe tomorrow it will be cold",
    "IWL": "I would like a new alarm clock",
    "ITH": "I think I have a doctor's appointment",
    "DFA": "Don't forget a jacket",
    "ITS": "I think I've seen this before",
    "TSI": "The surface is slick",
    "WSI": "We'll stop in a couple of minutes",
}
ACTORS = "VideoDemographics.csv"

_NAME = re.compile(r"(1\d{3})_([A-Z]{3})_([A-Z]{3})_(LO|MD|HI|XX|X)")  # one file of the release ends in a single X


def read_cremad(root: Path) -> EmotionCorpus:
    """Read CREMA-D from its audio folder (``AudioWAV``, ``AudioMP3``) or the folder above.

    The actors' sex is read from the release's ``VideoDemographics.csv`` if it is in the audio folder or the one above.

    Raises
    ------
    UserError
        The folder contains no CREMA-D audio.
    """
    corpus = EmotionCorpus("crema-d", LABELS, expected=EXPECTED)
    folder = next((root / name for name in ("AudioWAV", "AudioMP3") if (root / name).is_dir()), root)
    sexes = _sexes(next((path for path in (folder / ACTORS, folder.parent / ACTORS) if path.is_file()), None))
    for path in audio_files(folder):
        match = _NAME.fullmatch(path.stem)
        if not match or match[2] not in SENTENCES:
            corpus.problems.append(Problem(path.stem, BAD_NAME, str(path)))
            continue
        speaker, sentence, label, _ = match.groups()
        corpus.add(path.stem, path, SENTENCES[sentence], speaker, label, style="scripted", sex=sexes.get(speaker))
    if not corpus.utterances:
        raise UserError(f"{root} contains no CREMA-D audio (AudioWAV/1001_DFA_ANG_XX.wav etc.)")
    return corpus


def _sexes(table: Path | None) -> dict[str, str]:
    """Each actor's sex; rows without it are skipped."""
    if table is None:
        return {}
    sexes = {str(row.get("ActorID")): str(row.get("Sex")).lower() for _, row in read_csv(table)[1]}
    return {actor: sex for actor, sex in sexes.items() if sex in ("female", "male")}
