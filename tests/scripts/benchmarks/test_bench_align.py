"""Errors are one line; memory is that of a run on one recording, repeated."""

from __future__ import annotations

import re

import numpy as np
import pytest
import soundfile as sf

from scripts.benchmarks import bench_align


@pytest.mark.parametrize(
    ("corpus", "message"),
    [
        ("nosuch", "error: nosuch: no such corpus folder or file"),
        ("empty.jsonl", "error: empty.jsonl has no utterances to align"),
    ],
)
def test_a_corpus_that_cannot_be_used_is_one_line(tmp_path, monkeypatch, capsys, corpus, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.jsonl").touch()
    monkeypatch.setattr("sys.argv", ["bench_align", corpus])
    with pytest.raises(SystemExit) as end:
        bench_align.main()
    assert end.value.code == 2
    assert capsys.readouterr().err == message + "\n"


def test_memory_of_a_run_on_one_recording_repeated(tmp_path, monkeypatch, capsys):
    sf.write(tmp_path / "a.wav", np.zeros(8000), 8000)
    (tmp_path / "a.txt").write_text("one two three")
    monkeypatch.setattr("sys.argv", ["bench_align", str(tmp_path), "--memory", "40"])
    bench_align.main()
    assert re.match(r"40 utterances, 120 words: \d+ MiB ", capsys.readouterr().out)
