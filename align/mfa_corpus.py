"""The corpus that the program `mfa` gets: decoded audio, one folder a speaker, unique names, tokenised transcripts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import soundfile as sf

from align.base import Failure, Reason
from speech2vec import audio
from speech2vec.manifest import Utterance
from speech2vec.transcripts import tokenize

SAMPLING_RATE = 16000
SHORTEST_SECONDS = 0.1
# Nobody speaks faster than this for a whole utterance: above it, this is why the program found no path.
MOST_WORDS_PER_SECOND = 9.0
_LINKED_FORMATS = ("WAV", "FLAC")


@dataclass(frozen=True)
class Item:
    """An utterance as it is handed over: under a name that is unique, as the program's analysis gives stems only."""

    utterance: Utterance
    tokens: list[str]
    duration: float
    speaker: str
    name: str


def hand_over(utterance: Utterance, speaker: str, name: str, corpus: Path) -> Item | Failure:
    """Put an utterance into the program's corpus, or say why it cannot be.

    The audio is decoded to its end, as a single file that libsndfile cannot read ends the program's whole run. What is
    mono at 16 kHz already is linked; all else is written anew, as the program loses files at other rates.
    """
    tokens = tokenize(utterance.text)
    if not tokens:
        return Failure(utterance.utterance_id, Reason.NO_WORDS, utterance.text)
    try:
        samples = audio.load(utterance.audio, utterance.start, utterance.end, SAMPLING_RATE, utterance.channel)
        info = audio.info(utterance.audio)
    except audio.AudioError as error:
        return Failure(utterance.utterance_id, Reason.UNREADABLE_AUDIO, str(error))
    duration = len(samples) / SAMPLING_RATE
    if duration < SHORTEST_SECONDS:
        return Failure(utterance.utterance_id, Reason.AUDIO_TOO_SHORT, f"{duration:.3f} s")
    folder = corpus / speaker
    folder.mkdir(parents=True, exist_ok=True)
    whole = utterance.start is None and utterance.end is None
    kind = utterance.audio.suffix.lower().lstrip(".")
    if whole and (info.sampling_rate, info.n_channels) == (SAMPLING_RATE, 1) and kind.upper() in _LINKED_FORMATS:
        (folder / f"{name}.{kind}").symlink_to(utterance.audio.absolute())
    else:
        sf.write(folder / f"{name}.wav", samples, SAMPLING_RATE, subtype="PCM_16")
    (folder / f"{name}.lab").write_text(" ".join(tokens) + "\n", encoding="utf-8")
    return Item(utterance, tokens, duration, speaker, name)


def link_again(items: Iterable[Item], corpus: Path, again: Path) -> None:
    """Make a corpus that links to some of the files of another."""
    for item in items:
        folder = again / item.speaker
        folder.mkdir(parents=True, exist_ok=True)
        for path in (corpus / item.speaker).glob(f"{item.name}.*"):
            (folder / path.name).symlink_to(path)


def too_dense(item: Item) -> bool:
    """Whether an utterance has more words than anyone says in its time."""
    return len(item.tokens) > MOST_WORDS_PER_SECOND * item.duration
