"""`speech2vec embed`: its files, its exit codes, and the program that finds words without times."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile as sf
from aligned_folders import RATE, Program, make_aligned, one_error, speechlike
from click.testing import CliRunner

from speech2vec.cli.app import app
from speech2vec.corpus.readers import read_corpus
from speech2vec.model.encoding import encode_instances
from speech2vec.training.run import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("trained")
    make_aligned(home / "aligned", n_utterances=6)
    small = ("--set", "optimiser.epochs=1", "--set", "model.vector_size=6", "--evaluate-every", 0, "--device", "cpu")
    for command in (
        ("features", home / "aligned", "-o", home / "store", "--jobs", 1, "--quiet"),
        ("train", home / "store", "-o", home / "run", *small, "--quiet"),
    ):
        result = CliRunner().invoke(app, [str(argument) for argument in command])
        assert result.exit_code == 0, (result.output, result.exception)
    return home / "run"


def test_parquet_and_npz_hold_the_vectors_of_the_store(run: Path, tmp_path: Path, program: Program) -> None:
    aligned = run.parent / "aligned"
    loaded = Run.load(run)
    wanted = encode_instances(loaded.model, loaded.store)
    code, out, _ = program("embed", run, aligned, "-o", tmp_path / "a.parquet", "--jobs", 1, "--quiet")
    assert code == 0 and out.startswith(f"{tmp_path / 'a.parquet'}: 30 words from 6 utterance(s), 6.0 s of speech, 6 ")
    table = pq.read_table(tmp_path / "a.parquet")
    assert table.column_names == ["utterance_id", "word", "start", "end", "vector"]
    assert table.schema.field("vector").type == pa.list_(pa.float32(), 6)
    np.testing.assert_allclose(np.stack(table["vector"].to_numpy()), wanted, atol=1e-6)
    assert table["word"].to_pylist() == loaded.store.words()
    metadata = json.loads(table.schema.metadata[b"speech2vec"])
    assert metadata["run"] == str(run) and len(metadata["fingerprint"]) == 12 and metadata["synthetic"] is False

    assert program("embed", run, aligned, "-o", tmp_path / "a.npz", "--jobs", 1, "--checkpoint", "best")[0] == 0
    with np.load(tmp_path / "a.npz", allow_pickle=False) as arrays:
        assert arrays["vectors"].dtype == np.float32 and arrays["word"].tolist() == loaded.store.words()
        best = Run.load(run, checkpoint="best")
        np.testing.assert_allclose(arrays["vectors"], encode_instances(best.model, best.store), atol=1e-6)
        np.testing.assert_array_equal(arrays["end"], table["end"].to_numpy())
        assert arrays["utterance_id"].tolist() == table["utterance_id"].to_pylist()
        assert json.loads(str(arrays["metadata"])) == metadata


def test_a_file_is_replaced_only_by_force_and_never_by_a_failure(run: Path, tmp_path: Path, program: Program) -> None:
    output = tmp_path / "a.npz"
    output.write_bytes(b"mine")
    one_error("--force replaces it", program("embed", run, run.parent / "aligned", "-o", output))
    one_error("does not exist", program("embed", run, tmp_path / "none", "-o", output, "--force"))
    assert output.read_bytes() == b"mine"
    assert program("embed", run, run.parent / "aligned", "-o", output, "--force", "--quiet", "--jobs", 1)[0] == 0
    assert np.load(output)["vectors"].shape == (30, 6)


def test_what_cannot_be_embedded_is_one_line(run: Path, tmp_path: Path, program: Program) -> None:
    aligned = run.parent / "aligned"
    sound, output = tmp_path / "a.wav", tmp_path / "out.parquet"
    sf.write(sound, speechlike(1.0, 0), RATE)
    one_error("ends in .parquet or .npz", program("embed", run, aligned, "-o", tmp_path / "out.csv"))
    one_error("config.toml", program("embed", tmp_path, aligned, "-o", output))
    one_error("a.wav has no transcript: give --text", program("embed", run, sound, "-o", output))
    one_error("holds no words", program("embed", run, sound, "-o", output, "--text", "[noise] ..."))
    one_error("is not an audio file", program("embed", run, aligned, "-o", output, "--text", "one"))
    one_error("is aligned already", program("embed", run, aligned, "-o", output, "--keep-aligned", tmp_path / "k"))
    one_error("best or last", program("embed", run, aligned, "-o", output, "--checkpoint", "first"))
    assert not output.exists()


@pytest.fixture
def aligner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A stand-in that spreads the words evenly: what is tested is how the program is run."""
    (tmp_path / "stand_in.py").write_text('''
from align.base import Aligned, Failure, Reason
from speech2vec.corpus.audio import AudioError, info
from speech2vec.corpus.manifest import Word

class Even:
    """Words of equal length."""
    def __init__(self, settings, *, jobs=1, device="cpu"):
        pass
    def align(self, utterances):
        for u in utterances:
            try:
                words = u.text.split()
                step = info(u.audio).duration / len(words)
            except AudioError as error:
                yield Failure(u.utterance_id, Reason.UNREADABLE_AUDIO, str(error))
                continue
            times = [(word, i * step, (i + 1) * step) for i, word in enumerate(words)]
            yield Aligned(u.utterance_id, tuple(Word(u.utterance_id, *time) for time in times))
''')
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(__file__).parents[3]}")
    return "stand_in:Even"


def test_a_folder_without_times_is_aligned_and_its_failures_are_named(
    run: Path, tmp_path: Path, program: Program, aligner: str
) -> None:
    corpus, kept = tmp_path / "corpus", tmp_path / "kept"
    corpus.mkdir()
    for i, name in enumerate(("good", "broken", "mute")):
        sf.write(corpus / f"{name}.wav", speechlike(1.0, i), RATE)
        (corpus / f"{name}.txt").write_text("one two three")
    (corpus / "broken.wav").write_bytes(b"RIFF")
    (corpus / "mute.txt").unlink()
    options = ("--aligner", aligner, "--jobs", 1, "--keep-aligned", kept)
    code, out, _ = program("embed", run, corpus, "-o", tmp_path / "a.parquet", *options, "--quiet")
    assert code == 1 and "3 words from 1 utterance(s)" in out and "2 utterance(s) failed" in out
    assert "  broken: unreadable audio" in out and "  mute: no transcript" in out
    first = pq.read_table(tmp_path / "a.parquet")
    assert first["utterance_id"].to_pylist() == ["good"] * 3 and first["word"].to_pylist() == ["one", "two", "three"]
    # What was kept is not aligned again, and is an input of its own.
    assert program("embed", run, corpus, "-o", tmp_path / "b.parquet", *options)[0] == 1
    assert program("embed", run, kept, "-o", tmp_path / "c.parquet", "--jobs", 1, "--quiet")[:2] == (
        1,
        out.replace("a.parquet", "c.parquet"),
    )
    for name in "bc":
        assert pq.read_table(tmp_path / f"{name}.parquet").equals(first)


def test_one_recording_with_a_transcript(run: Path, tmp_path: Path, program: Program, aligner: str) -> None:
    sound, output = tmp_path / "new.wav", tmp_path / "out.npz"
    sf.write(sound, speechlike(1.2, 0), RATE)
    options = ("-o", output, "--aligner", aligner, "--jobs", 1, "--quiet")
    assert program("embed", run, sound, *options, "--text", "up and down")[0] == 0
    given = np.load(output)["vectors"]
    (tmp_path / "new.lab").write_text("up and down")
    assert program("embed", run, sound, *options, "--force")[0] == 0
    np.testing.assert_array_equal(np.load(output)["vectors"], given)
    assert given.shape == (3, 6) and len(np.unique(given[:, 0])) == 3


def test_if_nothing_can_be_aligned_the_first_reason_is_told(
    run: Path, tmp_path: Path, program: Program, aligner: str
) -> None:
    (tmp_path / "new.wav").write_bytes(b"RIFF")
    options = ("-o", tmp_path / "out.npz", "--text", "one", "--jobs", 1)
    ended = program("embed", run, tmp_path / "new.wav", *options, "--aligner", aligner)
    one_error("new.wav could be aligned (first: new: unreadable audio, ", ended)
    ended = program("embed", run, tmp_path / "new.wav", *options, "--aligner", "nobody")
    one_error("stopped with code 2: there is no aligner 'nobody'", ended)
    (tmp_path / "empty").mkdir()
    one_error("nor an utterances.jsonl", program("embed", run, tmp_path / "empty", "-o", tmp_path / "out.npz"))


@pytest.mark.corpus
@pytest.mark.slow
def test_pocketsphinx_finds_the_words_of_real_speech(
    run: Path, librispeech: Path, tmp_path: Path, program: Program
) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    wanted: list[str] = []
    for utterance in read_corpus(librispeech / "dev-clean").utterances[:2]:
        (corpus / utterance.audio.name).symlink_to(utterance.audio)
        (corpus / utterance.audio.with_suffix(".txt").name).write_text(utterance.text)
        wanted += utterance.text.lower().split()
    code, out, told = program("embed", run, corpus, "-o", tmp_path / "a.parquet", "--jobs", 1)
    assert code == 0 and f"{len(wanted)} words from 2 utterance(s)" in out, told
    table = pq.read_table(tmp_path / "a.parquet")
    assert table["word"].to_pylist() == wanted
    ids, start = table["utterance_id"].to_numpy(), table["start"].to_numpy()
    assert (np.diff(start)[ids[1:] == ids[:-1]] > 0).all()
