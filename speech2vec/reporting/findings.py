"""Everything that a report shows of a run: what was trained on what, its scores, its vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from speech2vec.corpus.pronunciations import all_pronunciations, first_pronunciations
from speech2vec.evaluation.benchmarks import read_benchmarks
from speech2vec.evaluation.homophones import HomophoneCheck, check_homophones, homophone_pairs
from speech2vec.evaluation.near_homophones import NearHomophones, near_homophones
from speech2vec.evaluation.same_different import SameDifferentResult, same_different
from speech2vec.evaluation.scores import EVALUATION_FILE, Evaluation, read_evaluation
from speech2vec.evaluation.variability import SpeakerProbe, VariabilityBin, measure_speaker, measure_variability
from speech2vec.reporting.clips import Clips, word_clips
from speech2vec.reporting.word_map import (
    DecodedExample,
    Neighbours,
    WordMap,
    decoded_examples,
    nearest_words,
    project_words,
)
from speech2vec.runtime.config import read_toml
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import read_json_as
from speech2vec.runtime.progress import log
from speech2vec.training.run import CONFIG_FILE, ENVIRONMENT_FILE, Run, read_metrics
from speech2vec.vectors.instances import encoders_of, instances_by_row, word_vectors

EVALUATION_PATH = Path("evaluation") / EVALUATION_FILE

T = TypeVar("T")


@dataclass(frozen=True)
class Result(Generic[T]):
    """A measured value, or the reason why there is none."""

    value: T | None
    reason: str = ""

    @classmethod
    def of(cls, measure: Callable[[], T]) -> Result[T]:
        """Measure; if the input does not allow it (too few words, one speaker), that is the reason."""
        try:
            return cls(measure())
        except UserError as error:
            log.warning("left out of the report: %s", error)
            return cls(None, str(error))

    def to_dict(self) -> Any:
        """Plain values for JSON; of a value that was not measured the reason."""
        return {"reason": self.reason} if self.value is None else _plain(self.value)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value.to_dict() if hasattr(value, "to_dict") else asdict(value)


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


@dataclass(frozen=True, repr=False)
class RunResults:
    """Everything that was measured on one run."""

    name: str
    method: str
    labels: str
    vector_size: int
    settings: dict[str, Any]
    store_settings: dict[str, Any]
    environment: dict[str, Any]
    corpus: CorpusSummary
    metrics: list[dict[str, Any]]
    epoch: int | None
    evaluation: Evaluation | None
    same_different: Result[SameDifferentResult]
    variability: Result[Mapping[str, list[VariabilityBin]]]
    speaker: Result[Mapping[str, SpeakerProbe]]
    homophones: Result[HomophoneCheck]
    near_homophones: Result[NearHomophones]
    decoded: list[DecodedExample] = field(default_factory=list)
    word_map: WordMap | None = None
    neighbours: Neighbours | None = None
    clips: Clips = field(default_factory=Clips)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, method={self.method!r}, corpus={self.corpus.label!r})"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: all but the map, the neighbours, the decoded frames and the recordings."""
        plain = ("name", "method", "labels", "vector_size", "epoch", "metrics", *_SETTINGS)
        return {
            **{name: getattr(self, name) for name in plain},
            "corpus": asdict(self.corpus),
            "evaluation": self.evaluation.to_dict() if self.evaluation else None,
            **{name: getattr(self, name).to_dict() for name in _MEASURED},
        }


_SETTINGS = ("settings", "store_settings", "environment")
_MEASURED = ("same_different", "variability", "speaker", "homophones", "near_homophones")


def gather(
    run: Run,
    *,
    wordsim: str | Path | None = None,
    map_words: int = 1_000,
    searchable_words: int = 5_000,
    dtw_instances: int = 300,
    seed: int = 0,
    quiet: bool = False,
    with_words: bool = True,
    audio: bool = True,
    aligned: str | Path | None = None,
    evaluation: Evaluation | None = None,
) -> RunResults:
    """Measure everything that a report shows.

    Parameters
    ----------
    run : Run
    wordsim : Path or None
        Folder of rated pairs, for synonyms; None is the two sets that gensim ships.
    map_words, searchable_words : int
        Number of most frequent words on the map, and among the neighbours.
    dtw_instances : int
        Instances compared by dynamic time warping; 0 disables it.
    seed : int
    quiet : bool
    with_words : bool
        False leaves out the map, the neighbours and the decoded frames (for a comparison of runs).
    audio : bool
        Whether to record words to listen to.
    aligned : path or None
        See `word_clips`.
    evaluation : Evaluation or None
        Of the run's vectors, by `evaluate`; None is the one in the run's folder ``evaluation``, if there is one.
    """
    folder = run.path
    log.info("encoding %s words", f"{run.store.n_words:,}")
    vectors, encoders = word_vectors(run), encoders_of(run)
    pronunciations = first_pronunciations()

    def homophones() -> HomophoneCheck:
        pairs = homophone_pairs(vectors, all_pronunciations(), seed=seed)
        return check_homophones(vectors, pairs, instances_by_row(run, vectors, pairs.rows(), seed), seed)

    log.info("measuring same-different, variance, speaker and homophones")
    word_map = project_words(run, vectors, map_words, seed, pronunciations) if with_words else None
    neighbours = nearest_words(vectors, searchable_words) if with_words else None
    return RunResults(
        name=folder.resolve().name,
        method=run.settings.method,
        labels=run.labels,
        vector_size=run.model.vector_size,
        settings=read_toml(folder / CONFIG_FILE),
        store_settings=run.store.settings,
        environment=read_json_as(folder / ENVIRONMENT_FILE, dict[str, Any], "a description of a machine")
        if (folder / ENVIRONMENT_FILE).exists()
        else {},
        corpus=_corpus(run),
        metrics=read_metrics(folder),
        epoch=epoch if isinstance(epoch := run.progress.get("epoch"), int) else None,
        evaluation=evaluation or _read_evaluation(folder),
        same_different=Result.of(
            lambda: same_different(run, dtw_instances=dtw_instances, seed=seed, quiet=quiet, encoders=encoders)
        ),
        variability=Result.of(lambda: measure_variability(run, encoders, seed)),
        speaker=Result.of(lambda: measure_speaker(run, encoders, seed)),
        homophones=Result.of(homophones),
        near_homophones=Result.of(
            lambda: near_homophones(vectors, pronunciations, read_benchmarks(wordsim), seed=seed)
        ),
        decoded=decoded_examples(run, seed=seed) if with_words else [],
        word_map=word_map,
        neighbours=neighbours,
        clips=word_clips(run.store, neighbours.heard(), aligned) if audio and neighbours else Clips(),
    )


def _read_evaluation(run: Path) -> Evaluation | None:
    return read_evaluation(run / EVALUATION_PATH) if (run / EVALUATION_PATH).exists() else None


def _corpus(run: Run) -> CorpusSummary:
    store = run.store
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
