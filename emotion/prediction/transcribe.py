"""What was said, where there is no transcript: PocketSphinx with the American English models of its wheel.

Words in time, by starting the program ``speech2vec-align``: its package is never imported here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pocketsphinx

from emotion.features.extraction import BAD_AUDIO
from speech2vec.corpus import audio
from speech2vec.corpus.alignment import run_aligner
from speech2vec.corpus.manifest import UTTERANCES_FILE, Utterance, write_utterances
from speech2vec.corpus.readers import Problem
from speech2vec.corpus.transcripts import tokenize
from speech2vec.runtime.progress import log

UNTRANSCRIBED = "untranscribed"


"""Key in an utterance's extras; true where its words are not known."""


TOO_LONG = "too long to recognise"


_SAMPLING_RATE = 16000  # Hz, of the acoustic model


LONGEST = 60.0  # seconds; recognition takes about as long as the sound lasts


class Recogniser:
    """Large-vocabulary recognition; the same sound gives the same words, whatever was recognised before."""

    def __init__(self) -> None:
        # cmn="batch": the cepstral mean of each utterance alone, not a running one over several utterances.
        self._decoder = pocketsphinx.Decoder(samprate=_SAMPLING_RATE, cmn="batch", loglevel="FATAL")

    def __call__(self, samples: np.ndarray) -> str:
        """The words of one utterance.

        Parameters
        ----------
        samples : ndarray [shape=(n_samples,)], float32
            At 16 kHz.

        Returns
        -------
        str
            Lower case; empty where no words were found.
        """
        if not samples.any():
            return ""  # the decoder finds words in digital silence
        self._decoder.reinit_feat()  # forgets the noise of what was recognised before
        self._decoder.start_utt()
        try:
            self._decoder.process_raw(audio.pcm16(samples), full_utt=True)
        finally:
            self._decoder.end_utt()
        hypothesis = self._decoder.hyp()
        return " ".join(tokenize(hypothesis.hypstr)) if hypothesis else ""


def is_untranscribed(utterance: Utterance) -> bool:
    return bool(utterance.extras.get(UNTRANSCRIBED))


def recognise(utterances: Iterable[Utterance]) -> tuple[list[Utterance], list[Problem]]:
    """Give each untranscribed utterance the words that were recognised in it; the others stay as they are.

    Returns
    -------
    list of Utterance, list of Problem
        The utterances with their words; and those that cannot be read or last longer than a minute.
    """
    recogniser: Recogniser | None = None
    done: list[Utterance] = []
    problems: list[Problem] = []
    for utterance in utterances:
        if not is_untranscribed(utterance):
            done.append(utterance)
        elif isinstance(sound := _sound_of(utterance), Problem):
            problems.append(sound)
        else:
            recogniser = recogniser or Recogniser()
            done.append(replace(utterance, text=recogniser(sound)))
    return done, problems


def _sound_of(utterance: Utterance) -> np.ndarray | Problem:
    """The sound at the models' sampling rate; a problem where it cannot be read or lasts too long."""
    try:
        end = audio.info(utterance.audio).duration if utterance.end is None else utterance.end
        seconds = end - (utterance.start or 0.0)
        if seconds <= LONGEST:
            return audio.load(utterance.audio, utterance.start, utterance.end, _SAMPLING_RATE, utterance.channel)
    except audio.AudioError as error:
        return Problem(utterance.utterance_id, BAD_AUDIO, str(error))
    return Problem(
        utterance.utterance_id,
        TOO_LONG,
        f"lasts {seconds:,.0f} s, and words are recognised in up to {LONGEST:.0f} s: --chunk vad takes it apart, or "
        "give what was said (--text, or a .txt or .lab file beside it)",
    )


def align_words(utterances: Sequence[Utterance], folder: Path) -> Path | None:
    """Align utterances with their texts.

    Parameters
    ----------
    utterances : sequence of Utterance
    folder : Path
        Where an ``utterances.jsonl`` and what the program makes of it are written.

    Returns
    -------
    Path or None
        The ALIGNED folder; None where no utterance could be aligned. Those that could not are named in the log.

    Raises
    ------
    UserError
        The program is not installed, or stopped without a report.
    """
    asked, aligned = folder / UTTERANCES_FILE, folder / "aligned"
    write_utterances(asked, (replace(u, audio=u.audio.absolute()) for u in utterances))
    report = run_aligner(asked, aligned)
    for failure in report["failed"]:
        log.warning("%s: no words in time (%s: %s)", failure["utterance_id"], failure["reason"], failure["detail"])
    return aligned if report["words"] else None
