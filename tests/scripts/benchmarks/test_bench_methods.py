"""A method is watched from the store to the vectors."""

from __future__ import annotations

from pathlib import Path

from scripts.benchmarks.bench_methods import fit_and_average
from scripts.benchmarks.librispeech_like import librispeech_like, utterances_of


def test_a_method_is_watched_to_its_vectors(tmp_path: Path) -> None:
    store = librispeech_like(tmp_path / "store", utterances_of(hours=0.2))
    went = fit_and_average(store.path, tmp_path / "run", "acoustic")
    assert 0 < went["fitted"] < went["seconds"] < 600 and went["cpu"] > 0
    assert went["types"] == len(store.types) and 0.05 < went["peak"] < 5
