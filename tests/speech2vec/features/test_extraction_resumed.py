"""Killed, resumed, in processes, in shards: an extraction leaves the same bytes, and a bad call loses nothing."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from aligned_folders import SETTINGS, Program, change_words, contents, make_aligned, one_error

from speech2vec.corpus.manifest import read_utterances, write_utterances
from speech2vec.features import extraction
from speech2vec.features.extraction import extract, merge
from speech2vec.features.frontend import FrontEnd
from speech2vec.features.mfcc import MfccSettings
from speech2vec.features.parts import Part
from speech2vec.features.store import Store
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import only_writer


def features(*arguments: object) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of the real program."""
    command = [sys.executable, "-m", "speech2vec", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def test_processes_and_shards_make_the_same_bytes(tmp_path: Path, program: Program) -> None:
    """In processes of their own: parts of the real size, several of them."""
    aligned = make_aligned(tmp_path / "aligned", n_utterances=150, seconds=0.4, suffix=".wav")
    extract(aligned, tmp_path / "one", SETTINGS, jobs=1, quiet=True)
    code, out, err = features("features", aligned, "-o", tmp_path / "many", "--jobs", 2, "--quiet")
    assert (code, err) == (0, "") and "words" in out
    shards = [tmp_path / f"shard{k}" for k in (1, 2)]
    for k, shard in enumerate(shards, start=1):
        extract(aligned, shard, SETTINGS, shard=(k, 2), quiet=True)
    assert program("merge", shards[1], shards[0], "-o", tmp_path / "merged", "--quiet")[0] == 0
    expected = contents(tmp_path / "one")
    assert set(expected) == {"frames.npy", "words.parquet", "meta.json"}
    assert contents(tmp_path / "many") == expected
    assert contents(tmp_path / "merged") == expected
    assert Store.open(tmp_path / "merged").n_words == 300


def living_children(parent: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == parent and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


@pytest.mark.slow
def test_killed_while_several_processes_extract_and_resumed(tmp_path: Path, program: Program) -> None:
    n_parts_done = 2
    aligned = make_aligned(tmp_path / "aligned", n_utterances=64 * 6, seconds=0.3, suffix=".wav")
    extract(aligned, tmp_path / "whole", SETTINGS, quiet=True)
    store = tmp_path / "killed"
    command = [sys.executable, "-m", "speech2vec", "features", str(aligned), "-o", str(store), "--jobs", "2", "--quiet"]
    process = subprocess.Popen(command)
    until = time.monotonic() + 60
    while len(list(store.glob("parts/*.parquet"))) < n_parts_done and time.monotonic() < until:
        time.sleep(0.002)
    children = living_children(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert len(list(store.glob("parts/*.parquet"))) >= n_parts_done
    assert not (store / "meta.json").exists(), "the kill came too late to show anything"
    assert len(children) >= 2
    while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < until:
        time.sleep(0.01)
    assert not any(Path(f"/proc/{child}").exists() for child in children), "a process outlived its parent"
    kept = {file: file.stat().st_mtime_ns for file in store.glob("parts/*.parquet")}
    (store / "parts" / ".000005.npy.1.tmp").write_bytes(b"what a killed process was writing")
    assert program("features", aligned, "-o", store, "--quiet")[0] == 2
    assert {file: file.stat().st_mtime_ns for file in kept} == kept
    assert program("features", aligned, "-o", store, "--jobs", 2, "--quiet", "--resume")[0] == 0
    assert contents(store) == contents(tmp_path / "whole")
    assert sorted(path.name for path in store.iterdir()) == ["frames.npy", "meta.json", "words.parquet"]


def test_resume_keeps_what_is_done_and_of_a_whole_store_everything(
    tmp_path: Path, aligned: Path, small_parts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    done = []

    def until_the_second(part: Part, front_end: FrontEnd, parts: Path) -> int:
        if part.number == 1 and not done:
            done.append(part.number)
            raise KeyboardInterrupt
        return extract_part(part, front_end, parts)

    extract_part = extraction.extract_part
    monkeypatch.setattr(extraction, "extract_part", until_the_second)
    with pytest.raises(KeyboardInterrupt):
        extract(aligned, store, SETTINGS, quiet=True)
    assert [path.name for path in sorted(store.glob("parts/*.parquet"))] == ["000000.parquet"]
    monkeypatch.setattr(extraction, "extract_part", extract_part)
    for changed in (MfccSettings(n_mfcc=12), MfccSettings(normalise="none")):
        with pytest.raises(UserError, match="parts of another extraction"):
            extract(aligned, store, changed, quiet=True, resume=True)
    with pytest.raises(UserError, match="parts of another extraction"):
        extract(aligned, store, SETTINGS, shard=(1, 2), quiet=True, resume=True)
    first = extract(aligned, store, SETTINGS, quiet=True, resume=True)
    extract(aligned, tmp_path / "whole", SETTINGS, quiet=True)
    before = contents(store)
    assert before == contents(tmp_path / "whole")
    (store / "parts").mkdir()  # as of one that was killed while it removed them
    (store / "parts" / "000001.parquet").write_bytes(b"")
    assert extract(aligned, store, SETTINGS, quiet=True, resume=True) == first
    assert sorted(path.name for path in store.iterdir()) == sorted(before)
    with pytest.raises(UserError, match="made with other settings or words"):
        extract(aligned, store, MfccSettings(n_mfcc=12), quiet=True, resume=True)
    change_words(aligned, lambda words: words[1:])
    with pytest.raises(UserError, match="made with other settings or words"):
        extract(aligned, store, SETTINGS, quiet=True, resume=True)
    assert contents(store) == before


def test_killed_while_the_store_is_written(tmp_path: Path, aligned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tmp_path / "store"
    write_store = extraction.write_store

    def killed(*arguments: object, **more: object) -> None:
        (store / ".frames.npy.77.tmp").write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(extraction, "write_store", killed)
    with pytest.raises(KeyboardInterrupt):
        extract(aligned, store, SETTINGS, quiet=True)
    with pytest.raises(UserError, match="is not a store"):
        Store.open(store)
    monkeypatch.setattr(extraction, "write_store", write_store)
    extract(aligned, store, SETTINGS, quiet=True, resume=True)
    assert sorted(path.name for path in store.iterdir()) == ["frames.npy", "meta.json", "words.parquet"]


@pytest.mark.parametrize("gone", ["*.npy", "*.parquet", "*.json", "*"])
def test_killed_while_the_parts_are_removed(
    tmp_path: Path, aligned: Path, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    extract(aligned, tmp_path / "whole", SETTINGS, quiet=True)

    def killed(parts: Path, **_: object) -> None:
        for file in parts.glob(gone):  # a folder's files are removed in any order
            file.unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(extraction.shutil, "rmtree", killed)
        extract(aligned, tmp_path / "store", SETTINGS, quiet=True)
    extract(aligned, tmp_path / "store", SETTINGS, resume=True, quiet=True)
    assert contents(tmp_path / "store") == contents(tmp_path / "whole")
    assert not (tmp_path / "store" / "parts").exists()


def test_a_bad_call_loses_nothing(tmp_path: Path, aligned: Path, program: Program) -> None:
    store = tmp_path / "store"
    code, out, err = program("features", aligned, "-o", store)
    assert (code, err) == (0, "") and out.startswith(f"store {store}: 25 words, ")
    before = contents(store)
    to_store = ("-o", store, "--force")
    one_error("already exists; --resume continues it, --force", program("features", aligned, "-o", store))
    one_error("is missing: 'speech2vec-align run'", program("features", tmp_path, *to_store))
    one_error("unknown setting 'n_mfc'", program("features", aligned, *to_store, "--set", "n_mfc=12"))
    one_error("--shard takes K/N", program("features", aligned, *to_store, "--shard", "3/2"))
    one_error("is or contains the input", program("features", aligned, "-o", aligned, "--force"))
    one_error("use one of the two", program("features", aligned, *to_store, "--resume"))
    one_error("other settings or words", program("features", aligned, "-o", store, "--resume", "--set", "n_mfcc=12"))
    one_error("is not a shard", program("merge", store, *to_store))
    one_error("contains no extraction to resume", program("features", aligned, "-o", Path(__file__).parent, "--resume"))
    assert contents(store) == before
    assert program("features", aligned, *to_store, "--set", "n_mfcc=12", "--quiet")[0] == 0
    assert Store.open(store).n_mfcc == 12


@pytest.fixture
def shards(tmp_path: Path, aligned: Path, small_parts: None) -> list[Path]:
    folders = [tmp_path / f"shard{k}" for k in (1, 2)]
    for k, folder in enumerate(folders, start=1):
        extract(aligned, folder, SETTINGS, shard=(k, 2), quiet=True)
    return folders


def test_shards_that_do_not_belong_together(
    tmp_path: Path, aligned: Path, shards: list[Path], small_parts: None
) -> None:
    one, _ = shards
    extract(aligned, tmp_path / "other", MfccSettings(n_mfcc=12), shard=(2, 2), quiet=True)
    extract(aligned, tmp_path / "third", SETTINGS, shard=(3, 3), quiet=True)
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "meta.json").write_text("kept")
    for given_shards, told in (
        ([one], "is shard 1 of 2, but 1 folder"),
        ([one, one], r"shards \[1, 1\] were given"),
        ([one, tmp_path / "other"], "are shards of different extractions"),
        ([one, tmp_path / "third"], "is shard 3 of 3, but 2 folder"),
        ([one, aligned], "is not a shard of a feature extraction"),
        ([one, tmp_path / "none"], "is not a shard of a feature extraction"),
    ):
        with pytest.raises(UserError, match=told):
            merge(given_shards, tmp_path / "store", force=True)
    with pytest.raises(UserError, match="is or contains the input"):
        merge(shards, one, force=True)
    with pytest.raises(UserError, match="already exists"):
        merge(shards, tmp_path / "store")
    with only_writer(tmp_path / "store"), pytest.raises(UserError, match="is being written by"):
        merge(shards, tmp_path / "store", force=True)
    with pytest.raises(UserError, match="no shards are given"):
        merge([], tmp_path / "store", force=True)
    assert (tmp_path / "store" / "meta.json").read_text() == "kept"
    merge(shards, tmp_path / "store", force=True)
    assert Store.open(tmp_path / "store").n_words == 25
    assert all((shard / "parts" / "plan.json").exists() for shard in shards), "shards stay what they were"


def test_shards_of_other_words_do_not_belong_together(
    tmp_path: Path, aligned: Path, shards: list[Path], small_parts: None
) -> None:
    change_words(aligned, lambda words: words[1:])  # as many parts, under the same settings
    extract(aligned, tmp_path / "other", SETTINGS, shard=(2, 2), quiet=True)
    with pytest.raises(UserError, match="are shards of different extractions"):
        merge([shards[0], tmp_path / "other"], tmp_path / "store")


def test_an_extraction_is_not_resumed_with_other_speakers(tmp_path: Path, aligned: Path) -> None:
    extract(aligned, tmp_path / "store", SETTINGS, quiet=True)
    utterances = [dataclasses.replace(utterance, speaker="s9") for utterance in read_utterances(aligned)]
    write_utterances(aligned / "utterances.jsonl", utterances)
    with pytest.raises(UserError, match="made with other settings or words"):
        extract(aligned, tmp_path / "store", SETTINGS, quiet=True, resume=True)


def test_shards_that_are_not_whole(tmp_path: Path, aligned: Path, shards: list[Path]) -> None:
    frames = shards[0] / "parts" / "000000.npy"
    whole = frames.read_bytes()
    for half in (whole[: len(whole) // 2], b""):
        frames.write_bytes(half)
        with pytest.raises(UserError, match="is not a complete array"):
            merge(shards, tmp_path / "store")
        assert not (tmp_path / "store" / "meta.json").exists()
    frames.write_bytes(whole)
    words = shards[1] / "parts" / "000001.parquet"
    content = words.read_bytes()
    words.write_bytes(content[:100])
    with pytest.raises(UserError, match="is not a readable Parquet file"):
        merge(shards, tmp_path / "new")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "meta.json").write_text("kept")
    with pytest.raises(UserError, match="is not a readable Parquet file"):
        merge(shards, tmp_path / "old", force=True)
    assert (tmp_path / "old" / "meta.json").read_text() == "kept"
    words.unlink()
    with pytest.raises(UserError, match="is not finished"):
        merge(shards, tmp_path / "new")
    (shards[1] / "parts" / "plan.json").write_text("{")
    with pytest.raises(UserError, match="is not valid JSON"):
        merge(shards, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_more_shards_than_parts(tmp_path: Path, aligned: Path) -> None:
    folders = [tmp_path / f"shard{k}" for k in (1, 2, 3)]
    for k, folder in enumerate(folders, start=1):
        extract(aligned, folder, SETTINGS, shard=(k, 3), quiet=True)
    extract(aligned, tmp_path / "whole", SETTINGS, quiet=True)
    merge(folders, tmp_path / "merged")
    assert contents(tmp_path / "merged") == contents(tmp_path / "whole")


@pytest.mark.parametrize("shard", [(0, 2), (3, 2), (-1, 0)])
def test_a_shard_that_there_is_not(shard: tuple[int, int], tmp_path: Path, aligned: Path) -> None:
    with pytest.raises(UserError, match=r"a shard is .* with K from 1 to N, not"):
        extract(aligned, tmp_path / "store", SETTINGS, shard=shard, quiet=True)
    assert not (tmp_path / "store").exists()
