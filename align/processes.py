"""Aligning in several processes: a crash costs the utterance that caused it, and no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from align.base import AlignmentError, Failure, Outcome, Reason, account, flag, load_aligner, settings_type
from speech2vec.config import validate_settings
from speech2vec.manifest import Utterance
from speech2vec.processes import Answer, stream_from_processes

# Large enough that its overhead does not show, small enough that the processes end together.
UTTERANCES_PER_PART = 32


@dataclass(frozen=True)
class Recipe:
    """All that a process needs to make its aligner."""

    aligner: str
    settings: Mapping[str, Any]
    device: str = "cpu"


def align_in_processes(utterances: Sequence[Utterance], recipe: Recipe, jobs: int) -> Iterator[Outcome]:
    """One outcome for each utterance, as they come.

    Parameters
    ----------
    utterances : sequence of Utterance
    recipe : Recipe
    jobs : int
        Processes; an aligner that uses several cores by itself runs in one process and is told this number.

    Raises
    ------
    AlignmentError
        If the aligner cannot work at all.
    """
    kind = load_aligner(recipe.aligner)
    whole = flag(kind, "whole_corpus")
    alone = whole or not flag(kind, "parallel")
    make = partial(_aligner, recipe, jobs if alone else 1)
    size = len(utterances) if whole else UTTERANCES_PER_PART
    parts = [utterances[i : i + size] for i in range(0, len(utterances), size or 1)]
    waiting = {utterance.utterance_id for utterance in utterances}
    while parts:
        # A part that killed its process is aligned again one by one: the next death names the utterance at fault.
        suspects: list[Utterance] = []
        for answer in stream_from_processes(make, parts, 1 if alone else jobs, threads=None if alone else 1):
            if isinstance(answer, Answer):
                waiting.remove(answer.result.utterance_id)
                yield answer.result
                continue
            ended = f"process ended with exit code {answer.exit_code}"
            if not answer.started:
                raise AlignmentError(f"the aligner's {ended} while it was starting")
            left = [utterance for utterance in answer.item if utterance.utterance_id in waiting]
            if whole or len(left) == 1:
                yield from (Failure(u.utterance_id, Reason.ALIGNER_CRASHED, f"its {ended}") for u in left)
            else:
                suspects += left
        parts = [[utterance] for utterance in suspects]


def _aligner(recipe: Recipe, jobs: int) -> Callable[[Sequence[Utterance]], Iterator[Outcome]]:
    kind = load_aligner(recipe.aligner)
    aligner = kind(validate_settings(settings_type(kind), recipe.settings), jobs=jobs, device=recipe.device)
    return lambda part: account(part, aligner.align(part))
