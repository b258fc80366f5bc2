"""Short recordings of words, so that one can listen to the words that a report lists."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile as sf

from speech2vec.corpus.audio import AudioError, load
from speech2vec.corpus.manifest import Utterance, read_utterances
from speech2vec.features.store import Store
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.progress import log

RATE = 16_000  # Hz
BUDGET = 1_000_000  # bytes of all clips; base64 makes them a third longer
_SHORTEST, _LONGEST = 0.2, 1.5  # seconds; shorter ones are hard to understand out of context
_MARGIN, _FADE, _PEAK = 0.03, 0.01, 0.7
_LONG = 60.0  # seconds of a recording that are decoded for one word
_TRIED = 5  # words that may all fail before it is given up
# Every browser plays MP3; a libsndfile before 1.1 cannot write it.
_FORMAT, MEDIA_TYPE = ("MP3", "audio/mpeg") if "MP3" in sf.available_formats() else ("FLAC", "audio/flac")


@dataclass(frozen=True)
class Clips:
    """Recordings of words.

    Parameters
    ----------
    of : dict of str to bytes
        A compressed audio file for each word, of the type `MEDIA_TYPE`.
    note : str
        Why there are none, or which are missing.
    """

    of: dict[str, bytes] = field(default_factory=dict)
    note: str = ""


def word_clips(store: Store, words: Iterable[str], aligned: str | Path | None = None, budget: int = BUDGET) -> Clips:
    """Record words, the first first, until `budget` bytes are full.

    Of each word the instance of median length is cut out, 30 ms longer at both ends. Where recordings are missing, a
    warning and the note say so.

    Parameters
    ----------
    store : Store
    words : iterable of str
    aligned : Path or None
        The ALIGNED folder that the store was made from; None is the one that the store names.
    budget : int
    """
    folder = aligned or store.meta.get("aligned_folder")
    if not folder:
        return _none("the store does not say where they lie (--aligned ALIGNED does)")
    try:
        utterances = {one.utterance_id: one for one in read_utterances(Path(folder))}
    except UserError as error:
        if aligned is not None:
            raise
        return _none(str(error))
    number = {word: i for i, word in enumerate(store.types)}
    seconds = store.end - store.start
    clips: dict[str, bytes] = {}
    failed: list[str] = []
    for word in dict.fromkeys(words):
        row = _typical(np.flatnonzero(store.word_id == number[word]), seconds) if word in number else None
        if row is None:
            continue
        try:
            utterance = utterances.get(store.utterance_ids[store.utterance[row]])
            if utterance is None:
                raise AudioError(f"{folder} does not have the utterance {store.utterance_ids[store.utterance[row]]}")
            clip = _clip(utterance, float(store.start[row]), float(store.end[row]))
        except AudioError as error:
            failed.append(str(error))
            if len(failed) >= _TRIED and not clips:
                break
            continue
        budget -= len(clip)
        if budget < 0:
            break
        clips[word] = clip
    if failed and not clips:
        return _none(failed[0])
    if failed:
        log.warning("%d words of the report cannot be listened to (first: %s)", len(failed), failed[0])
        return Clips(clips, f"{len(failed)} words could not be read ({failed[0]}).")
    return Clips(clips)


def _none(reason: str) -> Clips:
    log.warning("no recordings of words in the report: %s", reason)
    return Clips(note=f"There are no recordings of words to listen to: {reason}.")


def _typical(rows: np.ndarray, seconds: np.ndarray) -> int | None:
    """Of rows that can be understood, the one of median length."""
    rows = rows[(seconds[rows] >= _SHORTEST) & (seconds[rows] <= _LONGEST)]
    return int(rows[np.argsort(seconds[rows], kind="stable")[len(rows) // 2]]) if len(rows) else None


def _clip(utterance: Utterance, start: float, end: float) -> bytes:
    """A segment of an utterance, faded at its ends and levelled, as a file."""
    # From the utterance's start where that is near: an MP3 decoder that starts within the stream complains.
    begin = utterance.start or 0.0
    if start - begin > _LONG:
        begin = start - _MARGIN
    samples = load(utterance.audio, begin, end + _MARGIN, RATE, utterance.channel)
    samples = samples[max(0, round((start - _MARGIN - begin) * RATE)) :]
    if not len(samples):
        raise AudioError(f"{utterance.audio}: no samples from {start:.2f} s on")
    n_fade = min(int(_FADE * RATE), len(samples) // 2)
    ramp = np.linspace(0, 1, n_fade, dtype=np.float32)
    samples[:n_fade] *= ramp
    samples[len(samples) - n_fade :] *= ramp[::-1]
    peak = float(np.abs(samples).max())
    out = io.BytesIO()
    sf.write(out, samples * (_PEAK / peak if peak else 1.0), RATE, format=_FORMAT)
    return out.getvalue()
