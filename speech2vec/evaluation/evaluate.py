"""Word vectors beside their controls: random vectors, the same encoder untrained, text vectors, the published figures.

Rare words have poor vectors, so scores are given over all words and over frequent ones (`Level`), wherever a run tells
how often each word occurs in its corpus.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from gensim.models import KeyedVectors

from speech2vec.corpus.pronunciations import Phones, first_pronunciations
from speech2vec.evaluation.benchmarks import SOURCE, Benchmark, published_columns, read_benchmarks
from speech2vec.evaluation.bootstrap import CONFIDENCE, RESAMPLES
from speech2vec.evaluation.random_pairs import follows_pronunciation, follows_text
from speech2vec.evaluation.scores import BenchmarkSize, Evaluation, Level, Published, ScoredModel
from speech2vec.evaluation.similarity import DRAWS, ModelScores, Score, chance_scores, evaluate_vectors, folded_index
from speech2vec.runtime.environment import environment
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.progress import log
from speech2vec.training.run import Run, checkpoint_file, is_run
from speech2vec.vectors.baselines import text_ceiling
from speech2vec.vectors.instances import untrained, word_vectors
from speech2vec.vectors.word_vectors import WordVectors, as_word_vectors

RANDOM = f"random ({DRAWS} draws)"
_TEXT, _UNTRAINED = "text vectors", "untrained {}"  # names of controls
DEFAULT_MIN_COUNTS = (1, 5)

Vectors: TypeAlias = str | Path | WordVectors | KeyedVectors


@dataclass(frozen=True, eq=False)
class NamedVectors:
    """Vectors that take part in a comparison.

    `counts` is how often each word occurs in the corpus behind them, `text` the vectors of the same corpus as text.
    """

    name: str
    kind: str
    vectors: WordVectors
    path: Path | None = None
    counts: Mapping[str, int] | None = None
    text: WordVectors | None = None


def evaluate(
    vectors: Vectors | Sequence[Vectors] | Mapping[str, Vectors],
    *,
    run: Run | str | Path | None = None,
    store: str | Path | None = None,
    text: Vectors | None = None,
    wordsim: str | Path | None = None,
    min_count: int | Sequence[int] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    device: str = "auto",
) -> Evaluation:
    """Score word vectors on word-similarity benchmarks, beside the same encoder untrained, text and random vectors.

    Over random pairs of words, their cosines are also compared with the likeness of the pronunciations and with the
    cosines of text vectors (`speech2vec.evaluation.random_pairs`).

    Parameters
    ----------
    vectors : path, WordVectors, gensim KeyedVectors; or a sequence of them, or a mapping of names to them
        Files are named by their paths.
    run : Run or path or None
        The run that they come from; None is the run whose folder a vectors file lies in, if it does.
    store : Path or None
        Instead of the store that a run records.
    text : path, WordVectors, gensim KeyedVectors or None
        Text vectors to compare with; None is those of the transcripts of the run (`text_ceiling`), if there is one.
    wordsim : Path or None
        Folder of benchmarks; None is the two that gensim ships.
    min_count : int, sequence of int or None
        Score the words that occur at least so often in the run's corpus, once for each; None is 1 and 5.
    resamples : int
        Of the bootstrap.
    seed : int
    device : str

    Returns
    -------
    Evaluation

    Raises
    ------
    UserError
        A file cannot be read, no vectors are given, some are given twice or have the name of a control, the given run
        cannot be loaded, or `min_count` is given but no
        run that tells the counts.
    """
    models, benchmarks = _named_vectors(vectors), read_benchmarks(wordsim)
    min_count = [min_count] if isinstance(min_count, int) else min_count
    given = run.path if isinstance(run, Run) else None if run is None else Path(run)
    folders = [given or (find_run(model.path) if model.path else None) for model in models]
    if not any(folders):
        if min_count:
            raise UserError("--min-count needs the word counts of a run: give --run, the run the vectors come from")
        log.info("no run is given: scores come without those of the untrained encoder")
    if isinstance(run, Run):
        runs = {run.path: untrained(run)}
    else:
        runs = _open_untrained(models, folders, store, device, required=run is not None)
    if min_count and not runs:
        raise UserError("--min-count needs the word counts of a run, and the run's store could not be read")
    _refuse_names_of_controls(models, runs)
    models = _with_text(models, folders, runs, None if text is None else as_word_vectors(text))
    models = _with_word_counts(models, folders, runs) + _untrained_controls(models, folders, runs)
    models += _text_controls(models)
    counts = sorted(set(min_count or DEFAULT_MIN_COUNTS))
    levels = evaluate_levels(models, benchmarks, counts, seed, resamples, _pronunciations())
    random = replace(models[0], name=RANDOM, kind="random", path=None)
    return Evaluation(
        synthetic=any(one.store.synthetic for one in runs.values()) if runs else None,
        settings={
            "seed": seed,
            "resamples": resamples,
            "wordsim": str(wordsim) if wordsim else "the two sets that gensim ships",
            "run": str(given) if given else None,
            "confidence": CONFIDENCE,
        },
        benchmarks=[BenchmarkSize(benchmark.name, len(benchmark)) for benchmark in benchmarks],
        models=[
            ScoredModel(
                one.name, one.kind, str(one.path) if one.path else None, len(one.vectors), one.vectors.vector_size
            )
            for one in [*models, random]
        ],
        levels=levels,
        published=Published(SOURCE, published_columns(models[0].vectors.vector_size)),
        environment=environment(),
    )


def _named_vectors(vectors: Vectors | Sequence[Vectors] | Mapping[str, Vectors]) -> list[NamedVectors]:
    if isinstance(vectors, Mapping):
        names, given = [*vectors], [*vectors.values()]
    else:
        given = [vectors] if isinstance(vectors, Vectors) else [*vectors]
        every = [Path(one if isinstance(one, str | Path) else f"vectors {n}") for n, one in enumerate(given, start=1)]
        names = distinct_names(every)
    if not given:
        raise UserError("no vectors are given: evaluate takes at least one set of them")
    paths = [Path(one) if isinstance(one, str | Path) else None for one in given]
    files = [path.resolve() for path in paths if path]
    if len(set(files)) < len(files):
        raise UserError("a vectors file is given twice")
    return [
        NamedVectors(name, "file", as_word_vectors(one), path)
        for name, one, path in zip(names, given, paths, strict=True)
    ]


def _refuse_names_of_controls(models: Sequence[NamedVectors], runs: Mapping[Path, Run]) -> None:
    """A control that had a model's name would stand in its place."""
    controls = {RANDOM, *(_UNTRAINED.format(name) for name in distinct_names([*runs]))}
    for model in models:
        if model.name in controls or re.fullmatch(rf"{_TEXT}( \d+)?", model.name):
            raise UserError(f"vectors are named '{model.name}', as a control is: give them another name")


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """The shortest ends of paths that tell them apart, without suffixes if those are not needed.

    Examples
    --------
    >>> distinct_names([Path("a/vectors.txt"), Path("b/vectors.txt")])
    ['a/vectors', 'b/vectors']
    """
    parts = [path.resolve().with_suffix("").parts for path in paths]
    for depth in range(1, max(map(len, parts), default=0) + 1):
        names = ["/".join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def find_run(vectors: Path) -> Path | None:
    """The run folder that a vectors file lies in, or None."""
    for folder in list(vectors.resolve().parents)[:3]:
        if is_run(folder) and checkpoint_file(folder).parent.is_dir():
            return folder
    return None


def _open_untrained(
    models: Sequence[NamedVectors],
    folders: Sequence[Path | None],
    store: str | Path | None,
    device: str,
    required: bool,
) -> dict[Path, Run]:
    """The models' runs with untrained encoders; a run that cannot be loaded is left out unless it is required."""
    runs = {}
    for folder in filter(None, dict.fromkeys(folders)):
        try:
            runs[folder] = Run.load(folder, store, device=device, trained=False)
        except UserError as error:
            if required:
                raise
            names = ", ".join(f"'{model.name}'" for model, its in zip(models, folders, strict=True) if its == folder)
            log.warning("no untrained encoder and no word counts for %s: %s", names, error)
    return runs


def _untrained_controls(
    models: Sequence[NamedVectors], folders: Sequence[Path | None], runs: Mapping[Path, Run]
) -> list[NamedVectors]:
    """The vectors of each run's untrained encoder, for the words of the run's first model."""
    controls = []
    for name, (folder, run) in zip(distinct_names([*runs]), runs.items(), strict=True):
        log.info("encoding %s words with the untrained encoder", f"{run.store.n_words:,}")
        vectors = only_words(word_vectors(run), models[folders.index(folder)].vectors.words)
        text = models[folders.index(folder)].text
        controls.append(
            NamedVectors(_UNTRAINED.format(name), "untrained", vectors, counts=_word_counts(run), text=text)
        )
    return controls


def _with_text(
    models: Sequence[NamedVectors], folders: Sequence[Path | None], runs: Mapping[Path, Run], text: WordVectors | None
) -> list[NamedVectors]:
    """The models with text vectors: those given, or those of each one's own corpus; of no run, of the first corpus."""
    if text is not None:
        return [replace(model, text=text) for model in models]
    size = models[0].vectors.vector_size
    of_store: dict[Path, WordVectors] = {}
    for run in runs.values():
        if run.store.path not in of_store:
            log.info("text vectors of the %s words of %s", f"{run.store.n_words:,}", run.store.path)
            of_store[run.store.path] = text_ceiling(run.store, size)
    first = next(iter(of_store.values()), None)
    return [
        replace(model, text=of_store[runs[folder].store.path] if folder is not None and folder in runs else first)
        for model, folder in zip(models, folders, strict=True)
    ]


def _text_controls(models: Sequence[NamedVectors]) -> list[NamedVectors]:
    """The text vectors of each corpus as models of their own, for the words of the first model that has them."""
    by_text = {id(model.text): model for model in reversed(models) if model.text is not None}
    controls = []
    for number, model in enumerate(reversed(by_text.values()), start=1):
        assert model.text is not None
        vectors = only_words(model.text, model.vectors.words)
        name = _TEXT if len(by_text) == 1 else f"{_TEXT} {number}"
        controls.append(NamedVectors(name, "text", vectors, counts=model.counts, text=model.text))
    return controls


def _pronunciations() -> dict[str, Phones]:
    try:
        return first_pronunciations()
    except UserError as error:
        log.info("likeness in pronunciation is not measured: %s", error)
        return {}


def _word_counts(run: Run) -> dict[str, int]:
    return dict(zip(run.store.types, run.store.counts.tolist(), strict=True))


def _with_word_counts(
    models: Sequence[NamedVectors], folders: Sequence[Path | None], runs: Mapping[Path, Run]
) -> list[NamedVectors]:
    """The models with the word counts of their runs; models of no run get the counts that all runs agree on."""
    counts = {folder: _word_counts(run) for folder, run in runs.items()}
    every = [*counts.values()]
    common = every[0] if every and all(one == every[0] for one in every) else None
    for model, folder in zip(models, folders, strict=True):
        if folder is None and every and common is None:
            log.warning("'%s' is of no run, and the runs are of different corpora: its rare words are kept", model.name)
    return [
        replace(model, counts=common if folder is None else counts.get(folder))
        for model, folder in zip(models, folders, strict=True)
    ]


def keep_frequent(vectors: WordVectors, counts: Mapping[str, int], min_count: int) -> WordVectors:
    """Without the words that occur in the corpus, but fewer than `min_count` times; words that it lacks are kept."""
    return only_words(vectors, [word for word in vectors.words if counts.get(word, min_count) >= min_count])


def only_words(vectors: WordVectors, words: Sequence[str]) -> WordVectors:
    """The vectors of some words, in their order; words without a vector are left out."""
    kept = [word for word in words if word in vectors]
    rows = np.array([vectors.index[word] for word in kept], dtype=np.int64)
    return WordVectors(kept, vectors.vectors[rows])


def evaluate_levels(
    models: Sequence[NamedVectors],
    benchmarks: Sequence[Benchmark],
    min_counts: Sequence[int] = DEFAULT_MIN_COUNTS,
    seed: int = 0,
    resamples: int = RESAMPLES,
    pronunciations: Mapping[str, Phones] | None = None,
) -> list[Level]:
    """Score all models and random vectors, once for each minimum count if any model's word counts are known.

    A model whose word counts are not known keeps all its words.
    """
    levels = []
    counted = any(model.counts is not None for model in models)
    for min_count in min_counts if counted else [None]:
        kept = {
            model.name: model.vectors
            if model.counts is None or min_count is None
            else keep_frequent(model.vectors, model.counts, min_count)
            for model in models
        }
        results = evaluate_vectors(kept, benchmarks, seed, resamples)
        results[RANDOM] = _random_control(list(kept.values()), benchmarks, seed)
        follows = {
            model.name: _follows(kept[model.name], model, pronunciations or {}, seed, resamples) for model in models
        }
        levels.append(Level(min_count, results, {name: scores for name, scores in follows.items() if scores}))
    return levels


def _follows(
    vectors: WordVectors, model: NamedVectors, pronunciations: Mapping[str, Phones], seed: int, resamples: int
) -> list[Score]:
    """What a model's cosines follow over random pairs; text vectors are not compared with themselves."""
    scores = []
    if pronunciations:
        scores.append(follows_pronunciation(vectors, pronunciations, model.counts, seed, resamples))
    if model.text is not None and model.kind != "text":
        scores.append(follows_text(vectors, model.text, model.counts, seed, resamples))
    return scores


def _random_control(compared: Sequence[WordVectors], benchmarks: Sequence[Benchmark], seed: int) -> ModelScores:
    """Random vectors for the words of the first of those compared, of its size."""
    first = compared[0]
    vocabularies = [set(folded_index(vectors)) for vectors in compared]
    own = chance_scores(vocabularies[0], first.vector_size, benchmarks, seed)
    shared = set.intersection(*vocabularies)
    common = own if shared == vocabularies[0] else chance_scores(shared, first.vector_size, benchmarks, seed)
    return ModelScores(len(first), first.vector_size, *own, *common)
