"""The rows of the paper's tables: systems to train, published figures, and the training."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import torch

from emotion.data.dataset import Prepared
from emotion.data.splits import SplitProtocol
from emotion.evaluation.evaluate import Predictions
from emotion.settings import EmotionSettings
from emotion.training.folds import train_folds, write_predictions
from emotion.training.plan import Plan, check_plan, continue_run, start_run
from emotion.training.run import PREDICTIONS_FILE, RUN_FILE
from speech2vec.runtime.errors import UserError


@dataclass(frozen=True)
class TableSystem:
    """A classifier to train for the tables.

    Parameters
    ----------
    model : {"acoustic", "embedding", "dual"}
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
        return "-".join(part for part in (self.model, self.kind, str(self.vector_size or "")) if part)

    @property
    def title(self) -> str:
        """Its name in the tables."""
        model = "dual encoder" if self.model == "dual" else f"{self.model} only"
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


def table_rows(speech: Mapping[int, str], word: Mapping[int, str], extra: Mapping[int, str] | None = None) -> list[Row]:
    """The rows of all three tables.

    Parameters
    ----------
    speech, word : mapping of int to str
        A vectors file for each vector size.
    extra : mapping of int to str
        Further vectors, such as the published ones, as rows of Tables 1 and 3.

    Raises
    ------
    UserError
        There are no vectors.
    """
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
            own = line["model"] == "dual"
            system_2 = TableSystem("dual", "speech", smallest, speech[smallest]) if own and smallest in speech else None
            rows.append(Row(2, line["system"], float(line["accuracy"]), system_2))
    for size in sizes:
        for kind, files in kinds.items():
            if size in files:
                system = TableSystem("dual", kind, size, files[size])
                rows.append(Row(3, system.title, _published(published, 3, "dual", kind, size), system))
    return rows


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
    rows: Sequence[Row], prepared: Prepared, *, protocol: SplitProtocol, seeds: Sequence[int], n_folds: int = 6
) -> None:
    """Check that the corpus meets every model's requirements, before anything is written or removed.

    Raises
    ------
    UserError
        The corpus lacks something that a model or the protocol requires.
    """
    sources = {row.system.model: row.system.source for row in rows if row.system is not None}
    for model, source in sources.items():
        plan = Plan(model=model, protocol=protocol, embeddings=source, seeds=seeds, n_folds=n_folds)
        check_plan(prepared, plan)


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
) -> dict[TableSystem, Predictions]:
    """Train each system once, in ``OUTPUT/runs``; completed runs are reused.

    Raises
    ------
    UserError
        The corpus lacks something that a system requires, vectors do not have the stated size, or an existing run was
        started with something else.
    """
    results: dict[TableSystem, Predictions] = {}
    for system in dict.fromkeys(row.system for row in rows if row.system is not None):
        folder = output / "runs" / system.name
        plan = Plan(model=system.model, protocol=protocol, embeddings=system.source, seeds=seeds, n_folds=n_folds)
        if (folder / RUN_FILE).exists():
            run = continue_run(prepared, folder, plan, settings)
        else:
            run = start_run(prepared, folder, plan, settings, check_plan(prepared, plan))
        if system.vector_size and run.info["vector_size"] != system.vector_size:
            raise UserError(f"{system.source} has vectors of size {run.info['vector_size']}, not {system.vector_size}")
        if run.untrained() or not (run.folder / PREDICTIONS_FILE).exists():
            train_folds(run, prepared, jobs=jobs, device=device, quiet=True)
            write_predictions(run, prepared)
        results[system] = Predictions.read(run)
        if on_system:
            on_system(system.title)
    return results
