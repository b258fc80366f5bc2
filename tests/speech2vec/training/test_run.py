"""The folder of a run: its metrics, read and shortened."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from speech2vec.runtime.errors import UserError
from speech2vec.training.run import METRICS_FILE, read_metrics, truncate_metrics


def line(epoch: int) -> str:
    return json.dumps({"epoch": epoch, "dev_loss": 1 / (epoch + 1)}) + "\n"


def epochs(rows: list[dict[str, float]]) -> list[float]:
    return [row["epoch"] for row in rows]


def test_reading_changes_nothing(tmp_path: Path) -> None:
    assert read_metrics(tmp_path) == []
    file = tmp_path / METRICS_FILE
    file.write_text(line(0) + line(1) + '{"epoch"')  # a run that is writing, or was killed as it wrote
    assert epochs(read_metrics(tmp_path)) == [0, 1]
    assert file.read_text() == line(0) + line(1) + '{"epoch"'


@pytest.mark.parametrize("bad", ['{"epoch"', "[]", '{"step": 1}', '{"epoch": "1"}', "\xff"])
def test_a_line_that_cannot_be_read_is_named(tmp_path: Path, bad: str) -> None:
    (tmp_path / METRICS_FILE).write_bytes(f"{line(0)}{bad}\n{line(2)}".encode("latin-1"))
    with pytest.raises(UserError, match=r"metrics\.jsonl, line 2"):
        read_metrics(tmp_path)


def test_what_will_be_written_again_is_taken_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert truncate_metrics(tmp_path, 3) == [] and not (tmp_path / METRICS_FILE).exists()
    file = tmp_path / METRICS_FILE
    file.write_text(line(0) + line(1) + line(2))
    assert epochs(truncate_metrics(tmp_path, 1)) == [0, 1]
    assert file.read_text() == line(0) + line(1)
    assert not caplog.records


def test_lines_behind_one_that_cannot_be_read_are_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / METRICS_FILE
    file.write_text(line(0) + "broken\n" + line(2) + '{"epo')
    with caplog.at_level(logging.WARNING, "speech2vec"):
        assert epochs(truncate_metrics(tmp_path, 5)) == [0, 2]
    assert file.read_text() == line(0) + line(2)
    assert "2 unreadable lines removed (first: line 2)" in caplog.text


def test_a_count_that_no_float_can_hold_is_an_unreadable_line(tmp_path: Path) -> None:
    huge = "1" + "0" * 400
    (tmp_path / METRICS_FILE).write_text(f'{{"epoch": 0, "seconds": {huge}}}\n{{"epoch": 1}}\n')
    with pytest.raises(UserError, match="line 1: not a JSON object with an epoch"):
        read_metrics(tmp_path)
