"""Silence, noise and tones are no speech, whatever words an aligner finds in them; speech is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from mfa_stand_in import Mfa, failed
from sounds import NOT_SPEECH, RATE, babble

from align.aligners.pocketsphinx import PocketSphinxAligner, PocketSphinxSettings
from align.base import Aligned, Failure, Reason
from align.plausibility import find_implausible
from speech2vec.corpus import audio, readers
from speech2vec.corpus.manifest import Utterance, Word

TEXTS = ("yes", "the quick brown fox jumps over the lazy dog")


def spread(text: str, seconds: float) -> list[Word]:
    words = text.split()
    step = seconds / len(words)
    return [Word("a", word, i * step, (i + 1) * step) for i, word in enumerate(words)]


@pytest.mark.parametrize("make", NOT_SPEECH.values(), ids=NOT_SPEECH.keys())
def test_what_is_no_speech_is_not_plausible(make: Callable[[float, int], np.ndarray]) -> None:
    for seed in range(3):
        samples = np.round(32767 * make(2.5, seed)).astype(np.float32) / 32768  # as 16 bits keep it
        assert find_implausible(spread("the quick brown fox", 2.5), samples)
        # Only what lies within the words counts: the same is found where an utterance starts elsewhere in its file.
        moved = [Word("a", w.word, w.start + 60, w.end + 60) for w in spread("the quick brown fox", 2.5)]
        assert find_implausible(moved, samples, offset=60)


def test_what_changes_like_speech_is_plausible_but_no_endless_word() -> None:
    for seed in range(20):
        assert find_implausible(spread("the quick brown fox", 2.0), babble(2.0, seed)) == ""
    assert find_implausible(spread("the fox", 8.0), babble(8.0)) == "'the' would last 4.0 s"
    assert find_implausible(spread("yes", 0.05), np.zeros(800, np.float32)) == "", "too short to tell"


@pytest.mark.parametrize("make", NOT_SPEECH.values(), ids=NOT_SPEECH.keys())
def test_pocketsphinx_does_not_align_it(tmp_path: Path, make: Callable[[float, int], np.ndarray]) -> None:
    path = tmp_path / "a.wav"
    sf.write(path, make(3.0, 1), RATE)
    utterances = [Utterance(str(i), path, text, "s") for i, text in enumerate(TEXTS)]
    for result in PocketSphinxAligner(PocketSphinxSettings()).align(utterances):
        assert isinstance(result, Failure) and result.reason in (Reason.NO_ALIGNMENT, Reason.NOT_SPEECH), result
    unchecked = PocketSphinxAligner(PocketSphinxSettings(check_speech=False))
    assert not any(isinstance(r, Failure) and r.reason is Reason.NOT_SPEECH for r in unchecked.align(utterances))


def test_mfa_with_its_wide_beam_does_not_align_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MFA_ROOT_DIR", str(tmp_path / "users_root"))
    mfa = Mfa(tmp_path)
    mfa.say("speech")
    for name, make in NOT_SPEECH.items():
        mfa.say(name, sound=make(2.0, 1))
    outcomes = mfa.align()
    assert isinstance(outcomes.pop("speech"), Aligned)
    assert {name: failed(o).reason for name, o in outcomes.items()} == dict.fromkeys(NOT_SPEECH, Reason.NOT_SPEECH)
    assert all(isinstance(outcome, Aligned) for outcome in mfa.align(check_speech=False).values())


@pytest.mark.corpus
def test_real_speech_is_plausible(librispeech: Path) -> None:
    """Without an aligner: the words are spread over the utterance; `docs/alignment.md` has the count with one."""
    utterances = readers.read_corpus(librispeech / "dev-clean").utterances[::40]
    assert len(utterances) > 20
    for utterance in utterances:
        samples = audio.load(utterance.audio)
        words = spread(utterance.text.lower(), len(samples) / RATE)
        assert find_implausible(words, samples) == "", utterance
