"""Words of recordings without a transcript, and word alignments.

PocketSphinx recognises words with its American English models. The program ``speech2vec-align`` aligns them; it runs
as a process because the package must not be imported here.
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

UNTRANSCRIBED = "untranscribed"  # key in an utterance's extras: true if its words are unknown
TOO_LONG = "too long to recognise"
LONGEST = 60.0  # seconds; recognition runs at about real time
PROGRAM = "speech2vec-align"
_SAMPLING_RATE = 16000  # Hz, of PocketSphinx' acoustic model


class Recogniser:
    """Large-vocabulary recognition; the result does not depend on what was recognised before."""

    def __init__(self) -> None:
        # cmn="batch": the cepstral mean of each utterance, not a running mean over utterances.
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
            Lower case; empty if no words were found.
        """
        if not samples.any():
            return ""  # the decoder would find words in digital silence
        self._decoder.reinit_feat()  # resets the noise estimate
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
    """Recognise the words of each untranscribed utterance; the others are unchanged.

    Returns
    -------
    utterances : list of Utterance
    problems : list of Problem
        Utterances that are unreadable or longer than a minute.
    """
    recogniser: Recogniser | None = None
    done: list[Utterance] = []
    problems: list[Problem] = []
    for utterance in utterances:
        if not is_untranscribed(utterance):
            done.append(utterance)
        elif isinstance(samples := _samples_of(utterance), Problem):
            problems.append(samples)
        else:
            recogniser = recogniser or Recogniser()
            done.append(replace(utterance, text=recogniser(samples)))
    return done, problems


def _samples_of(utterance: Utterance) -> np.ndarray | Problem:
    """The samples at the acoustic model's sampling rate, or a problem if unreadable or too long."""
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
        f"lasts {seconds:,.0f} s, recognition is limited to {LONGEST:.0f} s: split it with --chunk vad, or give its "
        "transcript (--text, or a .txt or .lab file beside it)",
    )


def align_words(utterances: Sequence[Utterance], folder: Path) -> Path | None:
    """Align utterances with their texts.

    Parameters
    ----------
    utterances : sequence of Utterance
    folder : Path
        Folder for ``utterances.jsonl`` and the program's output.

    Returns
    -------
    Path or None
        The ALIGNED folder; None if no utterance could be aligned. Failures are logged by name.

    Raises
    ------
    UserError
        The program is not installed, or ended without a report.
    """
    asked, aligned = folder / UTTERANCES_FILE, folder / "aligned"
    write_utterances(asked, (replace(u, audio=u.audio.absolute()) for u in utterances))
    report = run_aligner(asked, aligned)
    for failure in report["failed"]:
        log.warning("%s: words not aligned (%s: %s)", failure["utterance_id"], failure["reason"], failure["detail"])
    return aligned if report["words"] else None
