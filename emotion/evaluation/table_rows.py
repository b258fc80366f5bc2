"""The rows of the tables: systems to train, those of the paper and all others, published figures, and the training."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import torch

from emotion.classifiers.registry import CLASSIFIERS, check_settings, load_classifier
from emotion.data.dataset import Prepared
from emotion.data.examples import TEXT_INPUTS, VECTORS
from emotion.data.splits import SplitProtocol
from emotion.settings import EmotionSettings
from emotion.training.folds import train_folds, write_predictions
from emotion.training.plan import Plan, check_plan, continue_run, gather_run
from emotion.training.run import PREDICTIONS_FILE, RUN_FILE, Run
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.progress import log
from speech2vec.vectors.word_vectors import read_vectors

MODERN_TABLE = 4  # every classifier that is not in the paper's tables


@dataclass(frozen=True)
class TableSystem:
    """A classifier to train for the tables.

    Parameters
    ----------
    model : str
        The name of a classifier.
    kind : {"speech", "word", "random", "extra", ""}
        Origin of its word vectors; "" for none.
    vector_size : int
        0 without word vectors.
    source : str or None
        The value of ``--embeddings``.
    """

    model: str
    kind: str = ""
    vector_size: int = 0
    source: str | None = None

    @property
    def name(self) -> str:
        """The name of its run folder."""
        model = self.model.replace(":", "-")  # of a class of one's own
        return "-".join(part for part in (model, self.kind, str(self.vector_size or "")) if part)

    @property
    def deterministic(self) -> bool:
        """Whether one seed is as good as many."""
        return load_classifier(self.model).deterministic

    @property
    def title(self) -> str:
        """Its name in the tables."""
        classifier = load_classifier(self.model)
        model = classifier.title or classifier.name
        if not self.kind:
            return model
        vectors = {"extra": Path(self.source or "").name}.get(self.kind, self.kind)
        return f"{model}, {vectors} vectors, d = {self.vector_size}"


@dataclass(frozen=True)
class Row:
    """One line of a table: a system trained here, a published figure in %, or both."""

    table: int
    title: str
    published: float | None
    system: TableSystem | None


def table_rows(
    speech: Mapping[int, str],
    word: Mapping[int, str],
    extra: Mapping[int, str] | None = None,
    models: Sequence[str] = (),
    *,
    with_words: bool = True,
) -> list[Row]:
    """The rows of all tables: 1 to 3 of the paper, and 4 with every other classifier.

    A published figure stands only beside a system with the published size of vectors.

    Parameters
    ----------
    speech, word : mapping of int to str
        A vectors file for each vector size.
    extra : mapping of int to str
        Further vectors, such as the published ones, as rows of Tables 1 and 3.
    models : sequence of str
        Names of further classifiers for Table 4, such as "svm+embedding".
    with_words : bool
        Whether the corpus has transcripts. If not, systems that need words are left out.

    Raises
    ------
    UserError
        There are no vectors for the words, or no classifier of a name.
    """
    if not with_words:
        return _without_words(models)
    if not speech and not word:
        raise UserError("no vectors: give --speech-embeddings 50=FILE and --word-embeddings 50=FILE")
    kinds = {"speech": speech, "word": word, "extra": extra or {}}
    sizes = sorted({size for files in kinds.values() for size in files})
    kinds["random"] = {size: f"random:{size}" for size in sizes}
    published = read_published()
    rows = [Row(1, "acoustic only", _published(published, 1, "acoustic"), TableSystem("acoustic"))]
    smallest = sizes[0]
    for kind, files in kinds.items():
        if smallest in files:
            system = TableSystem("embedding", kind, smallest, files[smallest])
            rows.append(Row(1, system.title, _published(published, 1, "embedding", kind, smallest), system))
    for line in published:
        if line["table"] == "2":
            rows.append(Row(2, line["system"], float(line["accuracy"]), _system(line, kinds)))
    for size in sizes:
        for kind, files in kinds.items():
            if size in files:
                system = TableSystem("dual", kind, size, files[size])
                rows.append(Row(3, system.title, _published(published, 3, "dual", kind, size), system))
    shown = {row.system.model for row in rows if row.system is not None}
    for model in dict.fromkeys([*CLASSIFIERS, *models]):
        if model not in shown:
            system = _with_vectors(model, kinds)
            rows.append(Row(MODERN_TABLE, system.title, None, system))
    return rows


def _without_words(models: Sequence[str]) -> list[Row]:
    """The rows of a corpus without transcripts."""
    rows = [
        Row(int(line["table"]), line["system"], float(line["accuracy"]), TableSystem("acoustic"))
        for line in read_published()
        if line["model"] == "acoustic"
    ]
    others = [model for model in dict.fromkeys([*CLASSIFIERS, *models]) if model != "acoustic"]
    systems = [TableSystem(model) for model in others if not load_classifier(model).inputs & TEXT_INPUTS]
    return rows + [Row(MODERN_TABLE, system.title, None, system) for system in systems]


def _system(line: Mapping[str, str], kinds: Mapping[str, Mapping[int, str]]) -> TableSystem | None:
    """The system of a published line, if it is a classifier here and its vectors of that size are given."""
    if not line["model"]:
        return None
    if not line["embeddings"]:
        return _with_vectors(line["model"], kinds)
    size = int(line["vector_size"])
    files = kinds[line["embeddings"]]
    return TableSystem(line["model"], line["embeddings"], size, files[size]) if size in files else None


def _with_vectors(model: str, kinds: Mapping[str, Mapping[int, str]]) -> TableSystem:
    """A classifier with the smallest vectors, of speech if there are any, if it needs vectors."""
    if VECTORS not in load_classifier(model).inputs:
        return TableSystem(model)
    kind = next(kind for kind, files in kinds.items() if files)
    size = min(kinds[kind])
    return TableSystem(model, kind, size, kinds[kind][size])


def read_published() -> list[dict[str, str]]:
    """The figures of the paper's tables, in %."""
    text = resources.files("emotion").joinpath("published.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(io.StringIO(text)))


def _published(
    lines: Sequence[Mapping[str, str]], table: int, model: str, kind: str = "", size: int | None = None
) -> float | None:
    for line in lines:
        wanted = (str(table), model, kind, str(size or ""))
        if (line["table"], line["model"], line["embeddings"], line["vector_size"]) == wanted:
            return float(line["accuracy"])
    return None


def check_systems(
    rows: Sequence[Row],
    prepared: Prepared,
    *,
    protocol: SplitProtocol,
    settings: EmotionSettings,
    seeds: Sequence[int],
    n_folds: int = 6,
) -> None:
    """Check settings, corpus and vectors, before anything is written or removed.

    Raises
    ------
    UserError
        The corpus lacks something that a model or the protocol requires, a setting is unknown, or vectors do not have
        the stated size.
    """
    systems = list(dict.fromkeys(row.system for row in rows if row.system is not None))
    for system in {system.model: system for system in systems}.values():
        check_settings(load_classifier(system.model), settings)
        plan = Plan(model=system.model, protocol=protocol, embeddings=system.source, seeds=seeds, n_folds=n_folds)
        check_plan(prepared, plan)
    for source, size in dict.fromkeys((s.source, s.vector_size) for s in systems if s.source and s.kind != "random"):
        found = read_vectors(Path(source)).vector_size
        if found != size:
            raise UserError(f"{source} has vectors of size {found}, not {size}")


def train_systems(
    rows: Sequence[Row],
    prepared: Prepared,
    output: Path,
    *,
    protocol: SplitProtocol,
    settings: EmotionSettings,
    seeds: Sequence[int],
    n_folds: int = 6,
    jobs: int = 1,
    device: torch.device | str = "cpu",
    on_system: Callable[[str], None] | None = None,
) -> dict[TableSystem, Run]:
    """Train each system once, in ``OUTPUT/runs``; completed runs are reused. A deterministic one has one seed.

    A system of Table 4 that cannot be trained (its library or weights are missing) is named and left out.

    Raises
    ------
    UserError
        The corpus lacks something that a system requires, or an existing run was started with something else.
    """
    runs: dict[TableSystem, Run] = {}
    tables = {row.system: row.table for row in reversed(rows) if row.system is not None}
    for system in dict.fromkeys(row.system for row in rows if row.system is not None):
        folder = output / "runs" / system.name
        own = seeds[:1] if system.deterministic else seeds
        plan = Plan(model=system.model, protocol=protocol, embeddings=system.source, seeds=own, n_folds=n_folds)
        try:
            runs[system] = _trained(prepared, folder, plan, settings, system.vector_size, jobs, device)
        except UserError as error:
            if tables[system] != MODERN_TABLE:
                raise
            log.warning("%s is left out: %s", system.title, error)
        if on_system:
            on_system(system.title)
    return runs


def _trained(
    prepared: Prepared,
    folder: Path,
    plan: Plan,
    settings: EmotionSettings,
    vector_size: int,
    jobs: int,
    device: torch.device | str,
) -> Run:
    """The run of a system, trained as far as it was not."""
    run = continue_run(prepared, folder, plan, settings) if (folder / RUN_FILE).exists() else None
    if run is not None and run.info["vector_size"] != vector_size:  # of a file that has been corrected since
        shutil.rmtree(folder)
        run = None
    if run is None:
        run = gather_run(prepared, plan, settings, check_plan(prepared, plan))(folder)
    if run.untrained() or not (run.folder / PREDICTIONS_FILE).exists():
        train_folds(run, prepared, jobs=jobs, device=device, quiet=True)
        write_predictions(run, prepared)
    return run
