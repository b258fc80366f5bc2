"""Words of recordings without a transcript, and word alignments.

The program ``speech2vec-align`` aligns words; it runs as a process because the package must not be imported here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from emotion.features.extraction import BAD_AUDIO
from emotion.prediction.recognisers import SAMPLING_RATE, Recogniser
from speech2vec.corpus import audio
from speech2vec.corpus.alignment import run_aligner
from speech2vec.corpus.manifest import UTTERANCES_FILE, Utterance, write_utterances
from speech2vec.corpus.readers import Problem
from speech2vec.runtime.progress import log

UNTRANSCRIBED = "untranscribed"  # key in an utterance's extras: true if its words are unknown
TOO_LONG = "too long to recognise"


def is_untranscribed(utterance: Utterance) -> bool:
    return bool(utterance.extras.get(UNTRANSCRIBED))


def recognise(
    utterances: Iterable[Utterance], open_recogniser: Callable[[], Recogniser]
) -> tuple[list[Utterance], list[Problem]]:
    """Recognise the words of each untranscribed utterance; the others are unchanged.

    Parameters
    ----------
    utterances : iterable of Utterance
    open_recogniser : callable
        Called once, and only if there is something to recognise.

    Returns
    -------
    utterances : list of Utterance
    problems : list of Problem
        Utterances that are unreadable, or too long for the recogniser.
    """
    recogniser: Recogniser | None = None
    done: list[Utterance] = []
    problems: list[Problem] = []
    for utterance in utterances:
        if not is_untranscribed(utterance):
            done.append(utterance)
            continue
        recogniser = recogniser or open_recogniser()
        samples = _samples_of(utterance, recogniser.longest)
        if isinstance(samples, Problem):
            problems.append(samples)
        else:
            done.append(replace(utterance, text=recogniser(samples)))
    return done, problems


def _samples_of(utterance: Utterance, longest: float) -> np.ndarray | Problem:
    """The samples at the recogniser's sampling rate, or a problem if unreadable or too long."""
    try:
        end = audio.info(utterance.audio).duration if utterance.end is None else utterance.end
        seconds = end - (utterance.start or 0.0)
        if seconds <= longest:
            return audio.load(utterance.audio, utterance.start, utterance.end, SAMPLING_RATE, utterance.channel)
    except audio.AudioError as error:
        return Problem(utterance.utterance_id, BAD_AUDIO, str(error))
    return Problem(
        utterance.utterance_id,
        TOO_LONG,
        f"lasts {seconds:,.0f} s, recognition is limited to {longest:.0f} s: split it with --chunk vad, or give its "
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
