"""The Berlin EmoDB: 10 actors, 7 emotions, ten German sentences (Burkhardt et al., Interspeech 2005).

Names such as ``03a01Fa``: speaker, sentence, emotion (first letter of its German name), version.
"""

from __future__ import annotations

import re
from pathlib import Path

from emotion.corpora.base import BAD_NAME, EmotionCorpus
from speech2vec.corpus.readers import Problem, audio_files
from speech2vec.runtime.errors import UserError

LABELS = {
    "neutral": "neu",
    "happiness": "hap",
    "sadness": "sad",
    "anger": "ang",
    "boredom": None,
    "disgust": None,
    "anxiety": None,
}
EXPECTED = {
    "neutral": 79,
    "happiness": 71,
    "sadness": 62,
    "anger": 127,
    "boredom": 81,
    "disgust": 46,
    "anxiety": 69,
}
SENTENCES = {
    "a01": "Der Lappen liegt auf dem Eisschrank.",
    "a02": "Das will sie am Mittwoch abgeben.",
    "a04": "Heute abend könnte ich es ihm sagen.",
    "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
    "a07": "In sieben Stunden wird es soweit sein.",
    "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
    "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
    "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
    "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
    "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
}
MALE = frozenset(("03", "10", "11", "12", "15"))

_NAME = re.compile(r"(\d\d)([ab]\d\d)([NFTWLEA])([a-z])")
_LETTERS = dict(zip("NFTWLEA", LABELS, strict=True))


def read_emodb(root: Path) -> EmotionCorpus:
    """Read EmoDB from its audio folder (``wav/``) or the folder above.

    Raises
    ------
    UserError
        The folder contains no EmoDB audio.
    """
    corpus = EmotionCorpus("emodb", LABELS, expected=EXPECTED)
    folder = root / "wav" if (root / "wav").is_dir() else root
    for path in audio_files(folder):
        match = _NAME.fullmatch(path.stem)
        if not match or match[2] not in SENTENCES:
            corpus.problems.append(Problem(path.stem, BAD_NAME, str(path)))
            continue
        speaker, sentence, letter, _ = match.groups()
        sex = "male" if speaker in MALE else "female"
        corpus.add(path.stem, path, SENTENCES[sentence], speaker, _LETTERS[letter], style="scripted", sex=sex)
    if not corpus.utterances:
        raise UserError(f"{root} contains no EmoDB audio (wav/03a01Fa.wav etc.)")
    return corpus
