"""Everything that a report says about a run, gathered: what was trained on what, its scores, its vectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from speech2vec.benchmarks import read_benchmarks
from speech2vec.config import read_toml
from speech2vec.console import log
from speech2vec.errors import UserError
from speech2vec.files import read_json
from speech2vec.homophones import HomophoneCheck, check_homophones, homophone_pairs
from speech2vec.instances import instances_by_row, word_vectors
from speech2vec.loaded_run import LoadedRun
from speech2vec.measures import SameDifferentPart, measure_same_different, measure_speaker, measure_variability
from speech2vec.phonetic_or_semantic import PhoneticOrSemantic, phonetic_or_semantic
from speech2vec.pictures import DecodedPair, Neighbours, WordMap, decoded_pairs, map_of, neighbours_of
from speech2vec.pronunciations import first_pronunciations
from speech2vec.run_folder import CONFIG_FILE, ENVIRONMENT_FILE, read_metrics

EVALUATION_FILE = Path("evaluation") / "evaluation.json"

T = TypeVar("T")


@dataclass(frozen=True)
class Finding(Generic[T]):
    """A measure, or the reason why there is none."""

    value: T | None
    reason: str = ""

    @classmethod
    def of(cls, measure: Callable[[], T]) -> Finding[T]:
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
class Findings:
    """Everything measured about one run; a `Finding` holds the value, or the reason why there is none."""

    name: str
    settings: dict[str, Any]
    store_settings: dict[str, Any]
    environment: dict[str, Any]
    corpus: CorpusSummary
    metrics: list[dict[str, Any]]
    epoch: int | None
    evaluation: dict[str, Any] | None
    same_different: Finding[list[SameDifferentPart]]
    variability: Finding[dict[str, list[dict[str, Any]]]]
    speaker: Finding[dict[str, dict[str, Any]]]
    homophones: Finding[HomophoneCheck]
    phonetic: Finding[PhoneticOrSemantic]
    decoded: list[DecodedPair] = field(default_factory=list)
    word_map: WordMap | None = None
    neighbours: Neighbours | None = None


def gather(
    loaded: LoadedRun,
    *,
    wordsim: Path | None = None,
    map_words: int = 1_000,
    searchable_words: int = 5_000,
    warped_instances: int = 300,
    seed: int = 0,
    quiet: bool = False,
    pictures: bool = True,
) -> Findings:
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
    return Findings(
        name=run.resolve().name,
        settings=read_toml(run / CONFIG_FILE),
        store_settings=store.settings,
        environment=read_json(run / ENVIRONMENT_FILE) if (run / ENVIRONMENT_FILE).exists() else {},
        corpus=_corpus(loaded),
        metrics=read_metrics(run),
        epoch=_whole(loaded.progress.get("epoch")),
        evaluation=read_evaluation(run),
        same_different=Finding.of(
            lambda: measure_same_different(loaded, warped_instances=warped_instances, seed=seed, quiet=quiet)
        ),
        variability=Finding.of(lambda: measure_variability(loaded, seed)),
        speaker=Finding.of(lambda: measure_speaker(loaded, seed)),
        homophones=Finding.of(homophones),
        phonetic=Finding.of(lambda: phonetic_or_semantic(vectors, pronunciations, read_benchmarks(wordsim), seed=seed)),
        decoded=decoded_pairs(loaded, seed=seed) if pictures else [],
        word_map=map_of(loaded, vectors, map_words, seed) if pictures else None,
        neighbours=neighbours_of(vectors, searchable_words) if pictures else None,
    )


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _corpus(loaded: LoadedRun) -> CorpusSummary:
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
    path = run / EVALUATION_FILE
    if not path.exists():
        return None
    evaluation = read_json(path)
    if not isinstance(evaluation, dict) or not {"models", "levels", "benchmarks"} <= evaluation.keys():
        raise UserError(f"{path} is not what 'speech2vec evaluate' writes; remove it or evaluate again")
    return evaluation
