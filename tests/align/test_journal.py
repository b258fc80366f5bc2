"""The journal on disk: what is in it the moment an outcome is added, after a kill, and whose it is."""

import json
import os
from pathlib import Path

import pytest

from align.base import Aligned, Failure, Reason
from align.journal import JOURNAL_FILE, Journal
from speech2vec.corpus.manifest import Utterance, Word
from speech2vec.runtime.errors import UserError

IDENTITY = {"settings": {"aligner": "a"}, "corpus": "x", "shard": None}


def outcome(name: str) -> Aligned:
    return Aligned(name, (Word(name, "one", 0.0, 0.5, -1.0),), {})


@pytest.mark.parametrize(("name", "value"), [("settings", {"aligner": "b"}), ("corpus", "y"), ("shard", "1/2")])
def test_an_unfinished_journal_of_something_else_is_refused(tmp_path, name, value):
    with Journal(tmp_path / "started" / JOURNAL_FILE, IDENTITY) as journal:
        journal.add(outcome("u0"))
    with pytest.raises(UserError, match=f"started was started with another {name}: use the same again"):
        Journal(tmp_path / "started" / JOURNAL_FILE, {**IDENTITY, name: value})
    with Journal(tmp_path / "started" / JOURNAL_FILE, IDENTITY) as journal:
        assert "u0" in journal and len(journal) == 1


def test_an_outcome_is_in_the_file_as_soon_as_it_is_added(tmp_path):
    path = tmp_path / JOURNAL_FILE
    with Journal(path, IDENTITY) as journal:
        journal.add(Failure("u0", Reason.NO_ALIGNMENT, "no path"))
        lines = path.read_text().splitlines()
        assert [json.loads(line).get("utterance_id") for line in lines] == [None, "u0"]


def test_what_is_added_after_half_a_line_is_kept_by_the_next_kill_too(tmp_path):
    path = tmp_path / JOURNAL_FILE
    with Journal(path, IDENTITY) as journal:
        journal.add(outcome("u0"))
    with path.open("a") as out:
        out.write('{"utterance_id": "u1", "wor')
    with Journal(path, IDENTITY) as journal:
        journal.add(outcome("u2"))
    with Journal(path, IDENTITY) as journal:
        assert "u1" not in journal
        utterances = [Utterance(name, Path("a.wav"), "one", "s") for name in ("u2", "u0")]
        assert list(journal.results(utterances)) == [outcome("u2"), outcome("u0")]


def test_a_fifo_is_no_journal(tmp_path):
    os.mkfifo(tmp_path / JOURNAL_FILE)
    with pytest.raises(UserError, match="is a FIFO, a device or a socket"):
        Journal(tmp_path / JOURNAL_FILE, IDENTITY)
