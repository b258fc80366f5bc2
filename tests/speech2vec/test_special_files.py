"""A FIFO or a device where a file belongs ends in one line; reading it would never end."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from aligned_folders import make_aligned

from speech2vec.corpus import audio
from speech2vec.corpus.manifest import read_utterances, read_words
from speech2vec.corpus.pronunciations import read_dictionary
from speech2vec.corpus.readers import BAD_TRANSCRIPT, read_corpus, text_beside
from speech2vec.evaluation.benchmarks import read_benchmark
from speech2vec.features.extraction import extract
from speech2vec.features.mfcc import MfccSettings
from speech2vec.features.store import FRAMES_FILE, META_FILE, Store
from speech2vec.runtime.config import read_toml
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import read_json, require_file
from speech2vec.training.checkpoint import load_checkpoint
from speech2vec.vectors.portable import PortableEncoder
from speech2vec.vectors.word_vectors import read_vectors

SECONDS = 20


def outcome(read: Callable[[Path], object], path: Path) -> str:
    """What the `UserError` of ``read(path)`` says; reads in a process of its own, which can be stopped if it hangs."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_report, args=(read, path, sender))
    process.start()
    try:
        if not receiver.poll(SECONDS):
            pytest.fail(f"{path} is still being read after {SECONDS} seconds")
        return str(receiver.recv())
    finally:
        process.kill()
        process.join()


def _report(read: Callable[[Path], object], path: Path, sender: Connection) -> None:
    try:
        sender.send(f"returned {read(path)!r}")
    except UserError as error:
        sender.send(str(error))
    except BaseException as error:
        sender.send(f"raised {error!r}")


@pytest.mark.parametrize(
    "read",
    [
        require_file,
        read_json,
        read_toml,
        read_utterances,
        read_words,
        read_dictionary,
        read_benchmark,
        read_vectors,
        load_checkpoint,
        PortableEncoder.load,
        audio.info,
        audio.load,
    ],
)
def test_a_reader_refuses_a_fifo(tmp_path: Path, read: Callable[[Path], object]) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    assert outcome(read, path) == f"{path} is a FIFO, a device or a socket: only regular files are read, copy it to one"


@pytest.mark.parametrize("read", [require_file, read_json, read_vectors, audio.load])
def test_a_link_to_a_device_is_a_device(tmp_path: Path, read: Callable[[Path], object]) -> None:
    (tmp_path / "link").symlink_to("/dev/full")
    assert "is a FIFO, a device or a socket" in outcome(read, tmp_path / "link")


def test_a_link_to_a_regular_file_is_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert require_file(tmp_path / "link") == tmp_path / "link"
    with pytest.raises(FileNotFoundError):
        require_file(tmp_path / "none")
    with pytest.raises(IsADirectoryError):
        require_file(tmp_path)


@pytest.mark.parametrize("name", [FRAMES_FILE, META_FILE, "words.parquet"])
def test_a_store_with_a_fifo_is_refused(tmp_path: Path, name: str) -> None:
    extract(make_aligned(tmp_path / "aligned"), tmp_path / "store", MfccSettings(), quiet=True)
    (tmp_path / "store" / name).unlink()
    os.mkfifo(tmp_path / "store" / name)
    assert f"{name} is a FIFO" in outcome(Store.open, tmp_path / "store")


@pytest.mark.parametrize("name", ["b.txt", "1-1.trans.txt"])
def test_a_transcript_that_is_a_fifo_costs_its_own_utterances_alone(tmp_path: Path, name: str) -> None:
    for stem in ("a", "b"):
        sf.write(tmp_path / f"{stem}.wav", np.zeros(160), 16000)
    (tmp_path / ("a.txt" if name == "b.txt" else "2-2.trans.txt")).write_text("a hello")
    os.mkfifo(tmp_path / name)
    told = outcome(_described, tmp_path)
    assert told.startswith("returned (['a'], [") and told.count(BAD_TRANSCRIPT) == 1
    assert f"{tmp_path / name} is a FIFO" in told


def _described(folder: Path) -> tuple[list[str], list[str]]:
    corpus = read_corpus(folder)
    return [u.utterance_id for u in corpus.utterances], [f"{p.reason}: {p.detail}" for p in corpus.problems]


def test_a_transcript_beside_a_recording_is_a_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.lab")
    assert "a.lab is a FIFO" in outcome(text_beside, tmp_path / "a.wav")
