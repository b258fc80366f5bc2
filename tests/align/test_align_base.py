"""The protocol's promises: each utterance gets exactly one answer, whatever the aligner does."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given, settings
from hypothesis import strategies as st

from align.aligned import iterate_aligned, read_failures, read_report, write_aligned
from align.base import (
    Aligned,
    Aligner,
    AlignmentError,
    AlignmentInput,
    AlignmentResult,
    Failure,
    Reason,
    align_batch,
    check_results,
    load_aligner,
    load_input,
)
from speech2vec.corpus import readers
from speech2vec.corpus.manifest import Utterance, Word, read_utterances, read_words
from speech2vec.runtime.config import Settings


def utterance(name: str, text: str = "a b") -> Utterance:
    return Utterance(name, Path("a.wav"), text, "s")


def aligned(name: str, *times: tuple[float, float]) -> Aligned:
    return Aligned(name, tuple(Word(name, "a", start, end, -1.0) for start, end in times))


answers = st.sampled_from(["words", "failure", "none", "nan", "reversed", "no words", "nan score"])


def answer(name: str, how: str) -> list[AlignmentResult]:
    return {
        "words": [aligned(name, (0.0, 0.5), (0.5, 0.5))],
        "failure": [Failure(name, Reason.NO_ALIGNMENT, "")],
        "none": [],
        "nan": [aligned(name, (0.0, math.nan))],
        "reversed": [aligned(name, (0.5, 0.2))],
        "no words": [aligned(name)],
        "nan score": [Aligned(name, (Word(name, "a", 0.0, 1.0, math.nan),))],
    }[how]


@settings(deadline=None, max_examples=60)
@given(st.lists(answers, max_size=12), st.integers(0, 12), st.booleans(), st.randoms())
def test_every_utterance_ends_in_exactly_one_place(tmp_path_factory, hows, raise_at, raises, random):
    asked = [utterance(f"u{i:02}") for i in range(len(hows))]

    def outcomes() -> Iterator[AlignmentResult]:
        given_answers = [o for u, how in zip(asked, hows, strict=True) for o in answer(u.utterance_id, how)]
        random.shuffle(given_answers)
        for i, outcome in enumerate(given_answers):
            if raises and i == raise_at:
                raise ZeroDivisionError("a fault of the aligner")
            yield outcome

    got = list(check_results(asked, outcomes()))
    assert sorted(o.utterance_id for o in got) == [u.utterance_id for u in asked]
    problems = [Failure("x", Reason.NO_AUDIO, "named in a list")]
    folder = tmp_path_factory.mktemp("aligned")
    report = write_aligned(folder, asked, got, problems=problems, settings={"aligner": "test"})
    assert report["asked"] == len(asked) + 1 == report["aligned"] + len(report["failed"])
    assert sum(report["reasons"].values()) == len(report["failed"])
    back = list(iterate_aligned(folder))
    assert [o.utterance_id for o in back] == [o.utterance_id for o in got if isinstance(o, Aligned)]
    assert report["words"] == read_words(folder).num_rows
    assert {f.utterance_id for f in read_failures(read_report(folder))} | {o.utterance_id for o in back} == {
        *(u.utterance_id for u in asked),
        "x",
    }
    assert len(read_utterances(folder)) == len(asked)


class Raising(Aligner):
    """Answers in reverse order, and raises for every utterance whose text is "raise", as it is called or later."""

    def __init__(self, at_call: bool, whole_corpus: bool = False) -> None:
        self.at_call = at_call
        self.whole_corpus = whole_corpus

    def align(self, utterances):
        if self.at_call and any(u.text == "raise" for u in utterances):
            raise ZeroDivisionError("a fault\nof the aligner " + "x" * 1000)
        return self._each(utterances)

    def _each(self, utterances):
        for u in reversed(utterances):
            if u.text == "raise":
                raise ZeroDivisionError("a fault\nof the aligner " + "x" * 1000)
            yield aligned(u.utterance_id, (0.0, 0.5))


@pytest.mark.parametrize("at_call", [False, True])
@pytest.mark.parametrize("at_fault", [[], [0], [4], [1, 3], [0, 1, 2, 3, 4]])
def test_an_exception_ends_the_utterance_at_fault_alone(at_call, at_fault):
    asked = [utterance(f"u{i}", "raise" if i in at_fault else "a") for i in range(5)]
    got = {o.utterance_id: o for o in align_batch(Raising(at_call), asked)}
    assert sorted(got) == [u.utterance_id for u in asked]
    assert sorted(name for name, o in got.items() if isinstance(o, Failure)) == [f"u{i}" for i in at_fault]
    for i in at_fault:
        assert got[f"u{i}"].reason is Reason.ALIGNER_FAILED
        assert got[f"u{i}"].detail.startswith("ZeroDivisionError: a fault of the aligner xx")
        assert len(got[f"u{i}"].detail) <= 200


def test_an_aligner_that_learns_from_all_utterances_is_not_called_for_single_ones():
    asked = [utterance("u0"), utterance("u1", "raise"), utterance("u2")]
    got = {o.utterance_id: o for o in align_batch(Raising(at_call=False, whole_corpus=True), asked)}
    assert isinstance(got["u2"], Aligned)
    assert got["u0"].reason is got["u1"].reason is Reason.ALIGNER_FAILED


def test_a_guessed_word_counts_as_often_as_it_is_said(tmp_path):
    said = [Word("u", word, i, i + 1) for i, word in enumerate(["zorp", "a", "zorp"])]
    guessed = {"zorp": "Z AO R P"}
    report = write_aligned(tmp_path, [utterance("u", "zorp a zorp")], [Aligned("u", tuple(said), guessed)])
    assert report["guessed_pronunciations"] == 2 and report["guessed_words"] == guessed


def test_reasons_of_answers():
    hows = ["words", "failure", "none", "nan", "reversed", "no words", "nan score"]
    asked = [utterance(how) for how in hows]
    got = {o.utterance_id: o for o in check_results(asked, iter([o for how in hows for o in answer(how, how)]))}
    assert isinstance(got["words"], Aligned)
    assert got["none"].reason is Reason.NO_ANSWER
    assert got["nan"].reason is got["reversed"].reason is Reason.IMPOSSIBLE_TIMES
    assert got["no words"].reason is Reason.NO_ALIGNMENT
    assert got["nan score"].words[0].score is None


@pytest.mark.parametrize("names", [["u", "u"], ["other"]])
def test_an_answer_nobody_asked_for_stops_the_run(names):
    with pytest.raises(AlignmentError, match="the aligner returned"):
        list(check_results([utterance("u")], iter([aligned(name, (0.0, 1.0)) for name in names])))


def test_every_problem_of_a_corpus_has_a_reason():
    named = {
        readers.NO_AUDIO,
        readers.NO_TRANSCRIPT,
        readers.EMPTY_TRANSCRIPT,
        readers.BAD_TRANSCRIPT,
        readers.BAD_FILE_NAME,
        readers.DUPLICATE,
    }
    assert {Reason(text).value for text in named} == named


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nonsense", "there is no aligner 'nonsense'"),
        ("no_such_module:Thing", "cannot be imported"),
        ("align.base:Nothing", "has no class Nothing"),
        ("align.base:Word", "not a class with a method align"),
    ],
)
def test_unknown_aligners_are_named(name, message):
    with pytest.raises(AlignmentError, match=message):
        load_aligner(name)


def test_a_module_in_the_working_folder_is_found(tmp_path, monkeypatch):
    (tmp_path / "own_aligner_here.py").write_text(
        "class Mine:\n    parallel = False\n    def __init__(self, settings, *, jobs, device): self.jobs = jobs\n"
        "    def align(self, utterances): ...\n"
    )
    monkeypatch.chdir(tmp_path)
    kind = load_aligner("own_aligner_here:Mine")
    assert kind.__name__ == "Mine" and kind(None, jobs=3, device="cpu").jobs == 3
    # What it does not define is the default of the base class.
    assert (kind.settings_type, kind.whole_corpus, kind.parallel, kind.takes_device) == (Settings, False, False, True)


@pytest.mark.parametrize("text", ["word " * 400_000, "a" * 30_000_000], ids=["words", "a word"])
def test_more_than_anyone_can_say_is_not_looked_for(tmp_path: Path, text: str) -> None:
    sf.write(tmp_path / "a.wav", 0.1 * np.random.default_rng(0).standard_normal(16000), 16000)
    failure = load_input(Utterance("a", tmp_path / "a.wav", text, "s"), 16000)
    assert isinstance(failure, Failure) and failure.reason is Reason.AUDIO_TOO_SHORT
    assert "is it the right transcript?" in failure.detail and len(failure.detail) < 150
    # The fastest of real speech is far below.
    assert isinstance(
        load_input(Utterance("a", tmp_path / "a.wav", "quick words, said fast", "s"), 16000), AlignmentInput
    )
