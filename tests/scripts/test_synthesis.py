"""Synthetic speech: each word has its time, nothing depends on what was spoken before."""

from __future__ import annotations

import numpy as np
import pytest

from scripts.synthesis import Voice, in_fresh_processes, speak
from speech2vec.runtime.errors import UserError

VOICE = Voice("en-us", "Alex")


def spoken_twice(_: int) -> bytes:
    speak([["something", "else"]], Voice("en-us", "m3"))
    return speak([["the", "same", "words"]], VOICE).samples.tobytes()


def dies(_: int) -> None:
    raise SystemExit(3)


def test_each_word_has_its_own_time() -> None:
    clauses = [["one", "of", "the", "men", "in", "the", "house"], ["who", "said", "that", "it", "is", "o'clock"]]
    speech = speak(clauses, VOICE)
    assert len(speech.times) == 13
    assert all(start < end for start, end in speech.times)
    assert all(end <= start for (_, end), (start, _) in zip(speech.times, speech.times[1:], strict=False))
    assert speech.times[-1][1] <= len(speech.samples) / speech.sampling_rate


def test_words_are_loud_and_pauses_are_not() -> None:
    speech = speak([["many", "animals"], ["living", "alone"]], VOICE)
    (_, before), (after, _) = speech.times[1], speech.times[2]
    rate = speech.sampling_rate
    assert after - before > 0.1  # a clause ends in a pause
    middle = speech.samples[round((before + 0.03) * rate) : round((after - 0.03) * rate)]
    words = [speech.samples[round(start * rate) : round(end * rate)] for start, end in speech.times]
    assert np.sqrt(np.mean(middle**2)) < 0.1 * min(np.sqrt(np.mean(word**2)) for word in words)


def test_numbers_and_apostrophes_keep_one_time_each() -> None:
    words = ["in", "1984", "it's", "the", "dogs'", "12", "don't", "'twas", "rock'n'roll", "dr", "smith", "st", "u", "s"]
    assert len(speak([words], VOICE).times) == len(words)


def test_a_voice_that_is_not_there_is_refused() -> None:
    for voice in (Voice("en-us", "nobody"), Voice("xx-yy")):
        with pytest.raises(UserError, match="no voice"):
            speak([["hello"]], voice)


def test_no_words_are_no_sound() -> None:
    assert len(speak([], VOICE).samples) == 0


def test_fresh_processes_speak_the_same_samples() -> None:
    first, second = in_fresh_processes(spoken_twice, [0, 1], jobs=2)
    assert first == second


def test_a_process_that_dies_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="code 3"):
        list(in_fresh_processes(dies, [0], jobs=1))
