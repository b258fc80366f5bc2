"""Corpus folders: every audio file and transcript becomes an utterance or a problem by name."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech2vec.corpus.readers import (
    BAD_FILE_NAME,
    BAD_TRANSCRIPT,
    DUPLICATE,
    EMPTY_TRANSCRIPT,
    NO_AUDIO,
    NO_TRANSCRIPT,
    SYNTHETIC_FILE,
    Corpus,
    is_synthetic,
    read_corpus,
)
from speech2vec.runtime.errors import UserError


def touch(folder: Path, *names: str) -> None:
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")


def problems(corpus: Corpus) -> set[tuple[str, str]]:
    return {(problem.utterance_id, problem.reason) for problem in corpus.problems}


def texts(corpus: Corpus) -> dict[str, str]:
    return {utterance.utterance_id: utterance.text for utterance in corpus.utterances}


def test_librispeech(tmp_path: Path) -> None:
    chapter = tmp_path / "dev-clean" / "84" / "121"
    touch(chapter, "84-121-0000.flac", "84-121-0001.mp3", "84-121-0002.flac", "84-121-0003.flac", "._84-121-0000.flac")
    lines = ["84-121-0000 GO ON", "84-121-0001\tAND   ON", "84-121-0002", "84-121-0009 GONE", "84-121-0000 AGAIN", ""]
    (chapter / "84-121.trans.txt").write_bytes("\r\n".join(lines).encode())
    for root in (tmp_path, tmp_path / "dev-clean", chapter):
        corpus = read_corpus(root)
        assert texts(corpus) == {"84-121-0000": "GO ON", "84-121-0001": "AND   ON"}
        assert {utterance.speaker for utterance in corpus.utterances} == {"84"}
        assert all(utterance.audio.is_absolute() and utterance.audio.exists() for utterance in corpus.utterances)
        assert problems(corpus) == {
            ("84-121-0000", DUPLICATE),
            ("84-121-0002", EMPTY_TRANSCRIPT),
            ("84-121-0003", NO_TRANSCRIPT),
            ("84-121-0009", NO_AUDIO),
        }


def test_librispeech_with_two_transcripts_in_a_folder_and_two_formats_of_a_recording(tmp_path: Path) -> None:
    touch(tmp_path, "1-1-0.flac", "1-1-0.mp3", "1-2-0.flac")
    (tmp_path / "1-1.trans.txt").write_text("1-1-0 ONE\n")
    (tmp_path / "1-2.trans.txt").write_text("1-2-0 TWO\u2028MORE\n")
    corpus = read_corpus(tmp_path)
    assert texts(corpus) == {"1-1-0": "ONE", "1-2-0": "TWO\u2028MORE"}
    assert corpus.utterances[0].audio.suffix == ".flac"
    assert problems(corpus) == {("1-1-0", DUPLICATE)}


def test_side_by_side(tmp_path: Path) -> None:
    touch(tmp_path, "anna/a.wav", "anna/b.MP3", "anna/b.wav", "anna/session/c.ogg", "anna/d.flac", "bob/e.wav")
    touch(tmp_path, "README.txt", "anna/f.lab", ".git/x.wav")
    (tmp_path / "anna" / "a.txt").write_text("from txt")
    (tmp_path / "anna" / "a.lab").write_text("\ufeffFrom  the\n lab ", encoding="utf-8")
    (tmp_path / "anna" / "b.txt").write_text("bee")
    (tmp_path / "anna" / "session" / "c.txt").write_text("see")
    (tmp_path / "bob" / "e.txt").write_bytes(b"caf\xe9")
    corpus = read_corpus(tmp_path)
    assert texts(corpus) == {"anna/a": "From the lab", "anna/b": "bee", "anna/session/c": "see"}
    assert {utterance.speaker for utterance in corpus.utterances} == {"anna"}
    assert problems(corpus) == {
        ("anna/b", DUPLICATE),
        ("anna/d", NO_TRANSCRIPT),
        ("anna/f", NO_AUDIO),
        ("bob/e", BAD_TRANSCRIPT),
    }


def test_a_flat_folder_is_one_speaker(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav")
    (tmp_path / "a.txt").write_text("hello")
    assert [utterance.speaker for utterance in read_corpus(tmp_path).utterances] == [tmp_path.name]


def test_links_to_folders_are_followed_and_go_in_no_circle(tmp_path: Path) -> None:
    away, corpus = tmp_path / "away", tmp_path / "corpus"
    touch(away / "anna", "a.wav")
    (away / "anna" / "a.txt").write_text("hello")
    touch(away / "anna" / ".hidden", "b.wav")
    (away / "anna" / "back").symlink_to(away)
    corpus.mkdir()
    (corpus / "bert").symlink_to(away / "anna")
    assert texts(read_corpus(corpus)) == {"bert/a": "hello"}
    (away / "anna" / "1-2.trans.txt").write_text("a HELLO\n")
    assert texts(read_corpus(corpus)) == {"a": "HELLO"}


def test_utterances_jsonl_and_its_folder(tmp_path: Path) -> None:
    rows = [{"utterance_id": name, "audio": "a.wav", "text": text, "speaker": "s"} for name, text in ("ba", "a ")]
    (tmp_path / "utterances.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for path in (tmp_path, tmp_path / "utterances.jsonl"):
        corpus = read_corpus(path)
        assert texts(corpus) == {"b": "a"}
        assert problems(corpus) == {("a", EMPTY_TRANSCRIPT)}


def test_a_transcript_that_is_not_utf8_is_a_problem_and_so_is_its_audio(tmp_path: Path) -> None:
    touch(tmp_path, "1-1-0.flac")
    (tmp_path / "1-1.trans.txt").write_bytes(b"1-1-0 CAF\xe9")
    corpus = read_corpus(tmp_path)
    assert not corpus.utterances
    assert problems(corpus) == {("1-1.trans.txt", BAD_TRANSCRIPT), ("1-1-0", NO_TRANSCRIPT)}


def test_one_unreadable_transcript_leaves_the_rest(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav", "b.wav", "c.wav")
    (tmp_path / "a.txt").write_text("hello")
    (tmp_path / "b.txt").mkdir()
    (tmp_path / "c.lab").symlink_to(tmp_path / "gone")
    corpus = read_corpus(tmp_path)
    assert texts(corpus) == {"a": "hello"}
    assert problems(corpus) == {("b", BAD_TRANSCRIPT), ("c", BAD_TRANSCRIPT)}
    (tmp_path / "d.trans.txt").mkdir()  # makes it no LibriSpeech
    assert texts(read_corpus(tmp_path)) == {"a": "hello"}
    (tmp_path / "1-1.trans.txt").write_text("a HELLO\n")
    corpus = read_corpus(tmp_path)
    assert texts(corpus) == {"a": "HELLO"}
    assert ("d.trans.txt", BAD_TRANSCRIPT) in problems(corpus)


def test_a_file_name_that_is_not_utf8_is_a_problem_that_can_be_written(tmp_path: Path) -> None:
    for stem in (b"good", b"caf\xe9"):
        for suffix in (b".wav", b".txt"):
            with open(bytes(tmp_path / "") + b"/" + stem + suffix, "w") as out:  # noqa: PTH123  # pathlib takes no bytes
                out.write("hello")
    corpus = read_corpus(tmp_path)
    assert texts(corpus) == {"good": "hello"}
    assert problems(corpus) == {("caf\\udce9", BAD_FILE_NAME)}
    assert repr(corpus.problems).encode()


def test_what_is_no_corpus(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such corpus"):
        read_corpus(tmp_path / "none")
    with pytest.raises(UserError, match="is not a corpus"):
        read_corpus(tmp_path)
    touch(tmp_path, "notes.txt", "picture.png")
    with pytest.raises(UserError, match="is not a corpus"):
        read_corpus(tmp_path)
    with pytest.raises(UserError, match=r"is not a corpus: give a folder or an utterances\.jsonl"):
        read_corpus(tmp_path / "notes.txt")


def test_synthetic_is_what_says_so(tmp_path: Path) -> None:
    touch(tmp_path, "corpus/1/2/a.wav")
    assert not is_synthetic(tmp_path / "corpus/1/2/a.wav")
    touch(tmp_path, f"corpus/{SYNTHETIC_FILE}")
    assert is_synthetic(tmp_path / "corpus/1/2/a.wav") and is_synthetic(tmp_path / "corpus")
    assert not is_synthetic(tmp_path / "b.wav")


@given(st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(["audio", "empty", "text", "both"]), min_size=1))
def test_nothing_is_dropped_silently(entries: dict[str, str]) -> None:
    """What has audio, or lies beside audio, comes back exactly once, as an utterance or as a problem."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for stem, what in entries.items():
            if what != "text":
                touch(folder, f"{stem}.wav")
            if what != "audio":
                (folder / f"{stem}.txt").write_text("" if what == "empty" else "hello")
        if not set(entries.values()) - {"text"}:
            with pytest.raises(UserError, match="is not a corpus"):
                read_corpus(folder)
            return
        corpus = read_corpus(folder)
    expected = {"audio": NO_TRANSCRIPT, "text": NO_AUDIO, "empty": EMPTY_TRANSCRIPT}
    assert sorted(texts(corpus)) == sorted(stem for stem, what in entries.items() if what == "both")
    assert sorted(problems(corpus)) == sorted((s, expected[what]) for s, what in entries.items() if what != "both")


@pytest.mark.corpus
def test_real_librispeech(librispeech: Path) -> None:
    corpus = read_corpus(librispeech)
    assert len(corpus.utterances) == 1313 + 304
    assert len({utterance.speaker for utterance in corpus.utterances}) == 20 + 245
    assert not corpus.problems


def test_a_link_does_not_hide_that_speech_is_synthetic(tmp_path: Path) -> None:
    (tmp_path / "made" / "subset").mkdir(parents=True)
    (tmp_path / "made" / "synthetic.json").write_text("{}")
    (tmp_path / "corpus").symlink_to(tmp_path / "made" / "subset")
    assert is_synthetic(tmp_path / "made" / "subset") and is_synthetic(tmp_path / "corpus")
    assert not is_synthetic(tmp_path)
