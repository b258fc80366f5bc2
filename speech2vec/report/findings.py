"""Everything that a report says about a run, gathered: what was trained on what, its scores, its vectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from speech2vec.corpus.pronunciations import first_pronunciations
from speech2vec.evaluation.benchmarks import read_benchmarks
from speech2vec.evaluation.homophones import HomophoneCheck, check_homophones, homophone_pairs
from speech2vec.evaluation.near_homophones import NearHomophones, near_homophones
from speech2vec.evaluation.same_different import SameDifferentResult, measure_same_different
from speech2vec.evaluation.variability import measure_speaker, measure_variability
from speech2vec.report.word_map import DecodedExample, Neighbours, WordMap, decoded_pairs, nearest_words, project_words
from speech2vec.runtime.config import read_toml
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import read_json
from speech2vec.runtime.progress import log
from speech2vec.training.run import CONFIG_FILE, ENVIRONMENT_FILE, Run, read_metrics
from speech2vec.vectors.instances import instances_by_row, word_vectors

EVALUATION_PATH = Path("evaluation") / "evaluation.json"


T = TypeVar("T")


@dataclass(frozen=True)
class Result(Generic[T]):
    """A measure, or the reason why there is none."""

    value: T | None
    reason: str = ""

    @classmethod
    def of(cls, measure: Callable[[], T]) -> Result[T]:
        """Measure; an input that does not allow it (too few words, one speaker) becomes the reason."""
        try:
            return cls(measure())
        except UserError as error:
            log.warning("left out of the report: %s", error)
            return cls(None, str(error))


@dataclass(frozen=True)
class CorpusSummary:
    """What a run was trained on."""

    label: str
    synthetic: bool
    n_words: int
    n_types: int
    n_speakers: int
    n_utterances: int
    hours_of_words: float
    hours_of_audio: float | None


@dataclass(frozen=True)
class RunResults:
    """Everything measured about one run; a `Result` holds the value, or the reason why there is none."""

    name: str
    settings: dict[str, Any]
    store_settings: dict[str, Any]
    environment: dict[str, Any]
    corpus: CorpusSummary
    metrics: list[dict[str, Any]]
    epoch: int | None
    evaluation: dict[str, Any] | None
    same_different: Result[list[SameDifferentResult]]
    variability: Result[dict[str, list[dict[str, Any]]]]
    speaker: Result[dict[str, dict[str, Any]]]
    homophones: Result[HomophoneCheck]
    phonetic: Result[NearHomophones]
    decoded: list[DecodedExample] = field(default_factory=list)
    word_map: WordMap | None = None
    neighbours: Neighbours | None = None


def gather(
    loaded: Run,
    *,
    wordsim: Path | None = None,
    map_words: int = 1_000,
    searchable_words: int = 5_000,
    warped_instances: int = 300,
    seed: int = 0,
    quiet: bool = False,
    pictures: bool = True,
) -> RunResults:
    """Measure everything that a report shows.

    Parameters
    ----------
    loaded : LoadedRun
    wordsim : Path or None
        Rated pairs, for the synonyms of the second homophone table; None is the sets that gensim ships.
    map_words, searchable_words : int
        How many of the most frequent words the map and the neighbours hold.
    warped_instances : int
        Instances compared by dynamic time warping; 0 is none.
    seed : int
    quiet : bool
    pictures : bool
        False leaves out the map, the neighbours and the decoded frames (a comparison of runs).
    """
    store, run = loaded.store, loaded.path
    log.info("encoding %s words", f"{store.n_words:,}")
    vectors = word_vectors(loaded)
    pronunciations = first_pronunciations()

    def homophones() -> HomophoneCheck:
        pairs = homophone_pairs(vectors, pronunciations, seed=seed)
        return check_homophones(vectors, pairs, instances_by_row(loaded, vectors, pairs.rows(), seed), seed)

    log.info("measuring same-different, variance, speaker and homophones")
    return RunResults(
        name=run.resolve().name,
        settings=read_toml(run / CONFIG_FILE),
        store_settings=store.settings,
        environment=read_json(run / ENVIRONMENT_FILE) if (run / ENVIRONMENT_FILE).exists() else {},
        corpus=_corpus(loaded),
        metrics=read_metrics(run),
        epoch=_whole(loaded.progress.get("epoch")),
        evaluation=read_evaluation(run),
        same_different=Result.of(
            lambda: measure_same_different(loaded, warped_instances=warped_instances, seed=seed, quiet=quiet)
        ),
        variability=Result.of(lambda: measure_variability(loaded, seed)),
        speaker=Result.of(lambda: measure_speaker(loaded, seed)),
        homophones=Result.of(homophones),
        phonetic=Result.of(lambda: near_homophones(vectors, pronunciations, read_benchmarks(wordsim), seed=seed)),
        decoded=decoded_pairs(loaded, seed=seed) if pictures else [],
        word_map=project_words(loaded, vectors, map_words, seed) if pictures else None,
        neighbours=nearest_words(vectors, searchable_words) if pictures else None,
    )


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _corpus(loaded: Run) -> CorpusSummary:
    store = loaded.store
    audio = store.meta.get("seconds_of_audio")
    return CorpusSummary(
        label=store.path.name,
        synthetic=store.synthetic,
        n_words=store.n_words,
        n_types=len(store.types),
        n_speakers=len(store.speakers),
        n_utterances=len(store.utterance_ids),
        hours_of_words=float((store.end - store.start).sum() / 3600),
        hours_of_audio=float(audio) / 3600 if audio else None,
    )


def read_evaluation(run: Path) -> dict[str, Any] | None:
    """What `speech2vec evaluate -o RUN/evaluation` wrote, or None."""
    path = run / EVALUATION_PATH
    if not path.exists():
        return None
    evaluation = read_json(path)
    if not isinstance(evaluation, dict) or not {"models", "levels", "benchmarks"} <= evaluation.keys():
        raise UserError(f"{path} is not what 'speech2vec evaluate' writes; remove it or evaluate again")
    return evaluation
