"""Adapting speakers' frames without labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from speech2vec.features.rows import rows_of_ranges
from speech2vec.model.adaptation import AdaptationSettings, SpeakerAdaptation, frames_by_speaker
from speech2vec.model.word_encoder import Words
from speech2vec.runtime.errors import UserError
from speech2vec.training.methods.speaker_adaptation import AdaptiveTrainingSettings, fit_adaptation, persistence

N_FEATURES, N_SPEAKERS, N_WORDS, LENGTH = 6, 6, 60, 20


def words_of_speakers(strength: float, seed: int = 0) -> tuple[Words, np.ndarray, np.ndarray]:
    """Words of eight sounds, each speaker's under a map of its own: the words, their frames, and the frames' sounds."""
    draw = np.random.default_rng(seed)
    sounds = draw.normal(size=(8, N_FEATURES)) * 2
    n = N_SPEAKERS * N_WORDS
    sound = np.repeat(draw.integers(8, size=(n, LENGTH // 5)), 5, axis=1)
    frames = sounds[sound] + draw.normal(size=(n, LENGTH, N_FEATURES)) / 2
    speaker = np.repeat(np.arange(N_SPEAKERS) + 3, N_WORDS)
    maps = np.eye(N_FEATURES) + strength * draw.normal(size=(N_SPEAKERS, N_FEATURES, N_FEATURES))
    frames = np.einsum("ntd,ned->nte", frames, maps[speaker - 3]).reshape(-1, N_FEATURES).astype(np.float32)
    return Words.from_frames(frames, np.full(n, LENGTH), speaker), frames, sound.ravel()


def all_frames(words: Words) -> np.ndarray:
    return words.gather(np.arange(len(words)))


def spread_over_speakers(frames: np.ndarray, sound: np.ndarray) -> float:
    """How far a sound's means by speaker lie from each other, of how far the sounds do."""
    speaker = np.repeat(np.arange(N_SPEAKERS), N_WORDS * LENGTH)
    means = np.array([[frames[(speaker == s) & (sound == k)].mean(0) for k in range(8)] for s in range(N_SPEAKERS)])
    return float(means.var(axis=0).sum() / means.mean(axis=0).var(axis=0).sum() / 8)


def test_speakers_come_closer_to_each_other() -> None:
    words, frames, sound = words_of_speakers(strength=0.15)
    fitted = fit_adaptation(words, AdaptiveTrainingSettings(components=8, lag=0, prior_frames=50), seed=1)
    before, after = spread_over_speakers(frames, sound), spread_over_speakers(all_frames(fitted.adapted(words)), sound)
    assert after < before / 3
    # Also speakers that it was not fitted to, and read in any order.
    others, frames, sound = words_of_speakers(strength=0.15, seed=0)
    half = Words.from_frames(frames[: len(frames) // 2], others.n_frames[: len(others) // 2], others.speaker[:180])
    unheard = fit_adaptation(half, AdaptiveTrainingSettings(components=8, lag=0, prior_frames=50), seed=1)
    adapted = unheard.adapted(others)
    assert spread_over_speakers(all_frames(adapted), sound) < before / 2
    shuffled = np.random.default_rng(1).permutation(len(others))
    frames_of = rows_of_ranges(shuffled * LENGTH, np.full(len(others), LENGTH))
    np.testing.assert_allclose(adapted.gather(shuffled), all_frames(adapted)[frames_of], atol=1e-5)


def test_each_round_raises_the_likelihood() -> None:
    words, _, _ = words_of_speakers(strength=0.2)
    fitted = fit_adaptation(words, AdaptiveTrainingSettings(components=8, lag=0, prior_frames=1e-3), seed=1)
    numbered = replace(words, speaker=words.speaker - 3)

    def likelihood(rounds: int) -> float:
        """Of all frames, up to a constant, under equal weights of the components."""
        model = replace(fitted, settings=fitted.settings.model_copy(update={"rounds": rounds}))
        maps = model.maps(numbered, N_SPEAKERS)
        moved = all_frames(model.adapted(words))
        distance = ((moved[:, None] - fitted.mean) ** 2 / fitted.variance).sum(axis=2)
        determinant = np.repeat(np.linalg.slogdet(maps[:, :, :-1])[1], N_WORDS * LENGTH)
        return float((np.logaddexp.reduce(-distance / 2, axis=1) + determinant).mean())

    values = [likelihood(rounds) for rounds in (0, 1, 2, 4, 8)]
    assert np.all(np.diff(values) > 0)


def test_a_speaker_of_few_frames_is_changed_little() -> None:
    words, frames, _ = words_of_speakers(strength=0.2)
    fitted = fit_adaptation(words, AdaptiveTrainingSettings(components=8, lag=0, prior_frames=1e7), seed=1)
    np.testing.assert_allclose(all_frames(fitted.adapted(words)), frames, atol=0.05)
    one = Words.from_frames(frames[:LENGTH], np.array([LENGTH]))
    assert np.isfinite(all_frames(fitted.adapted(one))).all()


@pytest.mark.parametrize("most_frames", [1, 130, 10_000])
def test_frames_of_a_speaker_are_of_words_spread_over_all(most_frames: int) -> None:
    words, frames, _ = words_of_speakers(strength=0.1)
    shuffled = np.random.default_rng(0).permutation(len(words))
    mixed = Words.from_frames(
        frames[rows_of_ranges(shuffled * LENGTH, np.full(len(words), LENGTH))],
        words.n_frames,
        words.speaker[shuffled] - 3,
    )
    read, first, speaker = frames_by_speaker(mixed, most_frames)
    assert speaker.tolist() == list(range(N_SPEAKERS)) and first[0] == 0
    lengths = np.diff(np.append(first, len(read)))
    assert np.all((lengths <= max(most_frames, LENGTH)) & (lengths > min(most_frames, N_WORDS * LENGTH) / 2))
    known = {row.tobytes() for row in frames[: N_WORDS * LENGTH]}
    assert all(row.tobytes() in known for row in read[: lengths[0]])


def test_what_changes_slowly_weighs_more() -> None:
    draw = np.random.default_rng(0)
    slow, fast = np.repeat(draw.normal(size=400), 10), draw.normal(size=4000)
    words = Words.from_frames(np.column_stack([slow, fast, np.zeros(4000)]).astype(np.float32), np.full(100, 40))
    weight = persistence(words, lag=4)
    assert weight[0] > 10 * weight[1] and weight[2] == weight[1] and np.square(weight).mean() == pytest.approx(1)
    np.testing.assert_array_equal(persistence(words, lag=0), 1)
    assert np.isfinite(persistence(words, lag=50)).all()


def test_tensors_give_back_the_adaptation() -> None:
    words, _, _ = words_of_speakers(strength=0.1)
    fitted = fit_adaptation(words, AdaptiveTrainingSettings(components=4), seed=1)
    again = SpeakerAdaptation.of_file(fitted.tensors(), fitted.settings, 6)
    np.testing.assert_array_equal(all_frames(again.adapted(words)), all_frames(fitted.adapted(words)))
    tensors = fitted.tensors()
    tensors["adaptation.mean"] = tensors["adaptation.mean"][:, 1:]
    with pytest.raises(ValueError, match="do not fit"):
        SpeakerAdaptation.of_file(tensors, AdaptationSettings(), 6)


def test_statistics_that_allow_no_map_are_one_line() -> None:
    words, _, _ = words_of_speakers(strength=0.1)
    nothing, one = np.zeros((7, 7), np.float32), np.ones(6, np.float32)
    damaged = SpeakerAdaptation(AdaptationSettings(), 0 * one, np.zeros((2, 6), np.float32), one, nothing)
    with pytest.raises(UserError, match="cannot be adapted"):
        damaged.adapted(words)
