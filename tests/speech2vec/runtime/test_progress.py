"""Progress and log lines on standard error."""

from __future__ import annotations

import logging

import pytest

from speech2vec.runtime.progress import Tracker, log, set_up_logging, track


def test_progress_is_on_standard_error_or_silent(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up_logging(quiet=False)
    now = 0.0
    monkeypatch.setattr("speech2vec.runtime.progress.time.monotonic", lambda: now)
    with Tracker("features", 4000, "utterances") as tracker:
        for _ in range(4):
            now += 10
            tracker.advance(1000)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [
        "features: 2,000 of 4,000 utterances, 100.0/s, 20 s left",
        "features: 4,000 of 4,000 utterances, 100.0/s, 0 s left",
    ]
    assert list(track("abc", "letters", 3, quiet=True)) == ["a", "b", "c"]
    assert capsys.readouterr() == ("", "")


def test_quiet_keeps_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(quiet=True)
    log.info("nothing")
    logging.getLogger("speech2vec.any").warning("something")
    assert capsys.readouterr() == ("", "something\n")
