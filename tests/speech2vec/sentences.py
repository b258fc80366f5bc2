"""A store of a few sentences, and the commands that work with the vectors of words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import typer

from speech2vec.cli.baseline import baseline
from speech2vec.cli.evaluate import evaluate, neighbours
from speech2vec.features.store import write_store
from speech2vec.runtime.console import run_app

SENTENCES = [["the", "cat", "sat"], ["the", "dog", "sat", "down"], ["the", "end"]]


def run(*arguments: object) -> int:
    app = typer.Typer(pretty_exceptions_enable=False)
    for command in (evaluate, neighbours, baseline):
        app.command()(command)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["speech2vec", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            run_app(app)
    return int(end.value.code or 0)


def make_store(path: Path, sentences: list[list[str]], speaker: str = "s") -> Path:
    """A store whose frames are noise, but for their number: a word has as many as it has letters."""
    rows = [(f"u{i}", speaker, word) for i, sentence in enumerate(sentences) for word in sentence]
    n_frames = [len(word) for *_, word in rows]
    first = np.cumsum([0, *n_frames[:-1]])
    table = pa.table(
        {
            "utterance_id": [row[0] for row in rows],
            "speaker": [row[1] for row in rows],
            "word": [row[2] for row in rows],
            "start": first / 100,
            "end": (first + n_frames) / 100,
            "score": pa.nulls(len(rows), pa.float32()),
            "first_frame": first,
            "n_frames": n_frames,
        }
    )
    frames = np.random.default_rng(0).standard_normal((sum(n_frames), 13)).astype(np.float32)
    write_store(path, table, [frames], 13, {"n_mfcc": 13}, synthetic=True)
    return path
