"""The corpora that we speak ourselves: readable as what they imitate, exact in time, resumable, marked."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from scripts import synthetic_corpus
from scripts.emotional_text import OPENINGS, sentence
from scripts.synthetic_corpus import (
    alignment_line,
    draw_voices,
    emotional_chapters,
    lee_chapters,
    make_corpus,
    read_chapters,
)
from speech2vec.corpus import audio
from speech2vec.corpus.readers import read_corpus
from speech2vec.corpus.transcripts import tokenize
from speech2vec.runtime.errors import UserError


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.md5(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def transcripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "some.text"
    path.write_text(
        "7-1-0000 ONE OF THE MEN SAID THAT IT IS LATE\n7-1-0001 DON'T GO\n7-2-0000 THERE WAS A DOG\n\n"
        "19-5-0000 THE DOGS' HOUSE\n",
        encoding="utf-8",
    )
    return path


@pytest.fixture(scope="module")
def corpus(transcripts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus") / "corpus"
    make_corpus(read_chapters(transcripts, None), folder, "tiny", jobs=2, quiet=True)
    return folder


def test_it_is_a_corpus_in_librispeech_layout(corpus: Path) -> None:
    read = read_corpus(corpus)
    assert not read.problems
    assert {u.utterance_id: u.text for u in read.utterances} == {
        "7-1-0000": "ONE OF THE MEN SAID THAT IT IS LATE",
        "7-1-0001": "DON'T GO",
        "7-2-0000": "THERE WAS A DOG",
        "19-5-0000": "THE DOGS' HOUSE",
    }
    assert {u.speaker for u in read.utterances} == {"7", "19"}
    assert all(audio.info(u.audio).sampling_rate == 16000 for u in read.utterances)


def test_word_times_fit_the_sound(corpus: Path) -> None:
    line = (corpus / "alignments/tiny/7/1/7-1-0000.alignment.txt").parent.joinpath("7-1.alignment.txt").read_text()
    utterance_id, words, ends = line.splitlines()[0].split()
    labels, times = words.strip('"').split(","), [float(end) for end in ends.strip('"').split(",")]
    assert [label.lower() for label in labels if label] == tokenize("one of the men said that it is late")
    assert len(labels) == len(times) and times == sorted(times)
    path = corpus / "tiny/7/1" / f"{utterance_id}.flac"
    assert times[-1] == pytest.approx(audio.info(path).duration, abs=1e-4)
    samples = audio.load(path)
    for label, start, end in zip(labels, [0.0, *times], times, strict=False):
        level = np.sqrt(np.mean(samples[round(start * 16000) : round(end * 16000)] ** 2))
        assert (level > 0.01) == bool(label), (label, level)


def test_it_says_that_it_is_synthetic(corpus: Path) -> None:
    assert "SYNTHETIC" in (corpus / "SYNTHETIC.md").read_text()
    assert json.loads((corpus / "synthetic.json").read_text())["synthetic"] is True
    assert "SYNTHETIC" in (corpus / "SPEAKERS.TXT").read_text()


def test_shards_and_resumed_runs_give_the_same_files(corpus: Path, transcripts: Path, tmp_path: Path) -> None:
    chapters = read_chapters(transcripts, None)
    for shard in ((1, 2), (0, 2)):
        make_corpus(chapters, tmp_path / "c", "tiny", shard=shard, jobs=1, quiet=True)
    assert hashes(tmp_path / "c") == hashes(corpus)
    (tmp_path / "c/alignments/tiny/7/1/7-1.alignment.txt").unlink()  # as a killed run leaves it
    (tmp_path / "c/tiny/7/1/7-1-0001.flac").unlink()
    made = make_corpus(chapters, tmp_path / "c", "tiny", jobs=1, quiet=True)
    assert made.utterances == 2
    assert hashes(tmp_path / "c") == hashes(corpus)


def test_other_settings_are_refused(corpus: Path, transcripts: Path) -> None:
    with pytest.raises(UserError, match="other text or settings"):
        make_corpus(read_chapters(transcripts, None), corpus, "tiny", seed=1, quiet=True)


def test_the_lee_corpus_is_large_enough_and_spelt_out() -> None:
    chapters = lee_chapters(n_speakers=10, max_words=10000)
    assert sum(chapter.n_words for chapter in chapters) >= 8000
    assert len({chapter.speaker for chapter in chapters}) == 10
    words = [w for c in chapters for clauses in c.utterances.values() for clause in clauses for w in clause]
    assert not any(any(letter.isdigit() for letter in word) for word in words)


def test_speakers_have_their_own_voices() -> None:
    voices = draw_voices([str(i) for i in range(30)], ["en-us"], seed=0)
    assert len({voice.variant for _, voice in voices.values()}) == 30
    assert [sex for sex, _ in voices.values()][:4] == ["F", "M", "F", "M"]
    assert voices == draw_voices([str(i) for i in range(30)], ["en-us"], seed=0)
    known = {name for names in synthetic_corpus.VARIANTS.values() for name in names}
    assert {voice.variant for _, voice in voices.values()} <= known


def test_silence_is_an_empty_word() -> None:
    line = alignment_line("1-1-0000", ["a", "b", "c"], [(0.1, 0.2), (0.2, 0.35), (0.5, 0.6)], 0.75)
    assert line == '1-1-0000 ",A,B,,C," "0.1000,0.2000,0.3500,0.5000,0.6000,0.7500"'


@pytest.mark.parametrize(("text", "complaint"), [("HELLO THERE\n", "line 1"), ("1-1-1 A\n1-1-1 B\n", "is duplicated")])
def test_bad_transcripts_are_named(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "t").write_text(text)
    with pytest.raises(UserError, match=complaint):
        read_chapters(tmp_path / "t", None)
    with pytest.raises(UserError, match="cannot be read"):
        read_chapters(tmp_path / "nothing", None)


def test_emotional_sentences_tell_their_class_and_depend_on_the_seed() -> None:
    rng = np.random.default_rng(0)
    for label, openings in OPENINGS.items():
        said = " ".join(sentence(label, rng))
        assert [opening for opening in openings if said.startswith(opening)]
        assert not [o for other, those in OPENINGS.items() if other != label for o in those if said.startswith(o)]
    chapters = emotional_chapters(3, 8, 0)
    assert [len(chapter.utterances) for chapter in chapters] == [3, 3, 2]
    assert chapters == emotional_chapters(3, 8, 0) != emotional_chapters(3, 8, 1)
    assert all(tokenize(" ".join(clause)) == clause for c in chapters for (clause,) in c.utterances.values())
