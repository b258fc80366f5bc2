"""The lengths are IEMOCAP's; both layers are timed."""

from __future__ import annotations

import numpy as np
import pytest

from emotion.data.prepare import prepare_settings
from scripts.benchmarks import bench_emotion


def test_lengths_are_those_of_iemocap() -> None:
    examples = bench_emotion.iemocap_like(bench_emotion.UTTERANCES, prepare_settings("default").features)
    n_words = np.array([len(words) for words in examples.vectors])
    assert np.median(n_words) == pytest.approx(8, abs=1) and n_words.mean() == pytest.approx(11.6, abs=1)
    assert n_words.max() <= 98


def test_both_layers_are_timed(capsys: pytest.CaptureFixture[str]) -> None:
    bench_emotion.main(["--utterances", "12", "--threads", "1", "--set", "training.batch_size=8"])
    data, *layers = capsys.readouterr().out.splitlines()
    assert data.startswith("12 utterances, ")
    assert [line.partition(":")[0] for line in layers] == list(bench_emotion.RECURRENT_DROPOUT)
