"""Recordings unlike the training data: they are told from others, and made less sure of."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from emotion.classifiers.inner import apply_temperature
from emotion.data.normalise import warn_of_speakers
from emotion.data.reference import Reference
from emotion.prediction.outside import classify, warn_of_recordings
from emotion.training.member import Member
from speech2vec.runtime.errors import UserError

LABELS = ("neu", "ang")


def recordings(n: int, seed: int, shift: float = 0.0, windows: int = 40) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).standard_normal((6, 6))
    return [(rng.standard_normal((windows, 6)) @ mixing + shift).astype(np.float32) for _ in range(n)]


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference.of(recordings(120, 0), [f"s{i % 6}" for i in range(120)], 0.025)


def test_the_distance_is_one_for_what_is_like_the_training_recordings(reference: Reference, tmp_path: Path) -> None:
    like, unlike = reference.distances(recordings(60, 1)), reference.distances(recordings(60, 2, shift=2.0))
    assert np.median(like) == pytest.approx(1.0, abs=0.15)
    assert unlike.min() > like.max() and unlike.min() > reference.far / reference.usual
    assert (reference.temperatures(recordings(5, 2, shift=2.0)) > 3).all()
    reference.save(tmp_path / "reference.safetensors")
    same = Reference.load(tmp_path / "reference.safetensors")
    np.testing.assert_array_equal(same.distances(recordings(9, 1)), reference.distances(recordings(9, 1)))
    (tmp_path / "reference.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"is not the reference of a run, or is damaged .*: train again"):
        Reference.load(tmp_path / "reference.safetensors")


def test_one_speaker_and_few_recordings_give_a_reference() -> None:
    found = Reference.of(recordings(2, 0), ["s", "s"], 0.025)
    assert np.isfinite(found.distances(recordings(3, 1))).all()


class Sure:
    """Always 97 % sure."""

    @property
    def facts(self) -> dict[str, object]:
        return {}

    def predict_proba(self, examples: list[object]) -> np.ndarray:
        return np.tile([0.03, 0.97], (len(examples), 1))

    def save(self, folder: Path) -> None:
        raise NotImplementedError


def test_probabilities_far_from_the_training_recordings_are_less_sure(reference: Reference, monkeypatch) -> None:
    monkeypatch.setattr(Member, "predict_proba", lambda self, examples: self.fitted.predict_proba(examples))
    members = [Member("fold", 0, Sure())]
    near, far = recordings(1, 1), recordings(1, 2, shift=2.0)
    found = classify(members, [*near, *far], [*near, *far], reference)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert found[0, 1] > 0.7 > found[1, 1] > 0.5  # no decision changes
    expected = apply_temperature(np.array([[0.03, 0.97]]), float(reference.temperatures(far)[0]))
    np.testing.assert_allclose(found[1:], expected)
    np.testing.assert_allclose(classify(members, far, far, None), [[0.03, 0.97]])
    monkeypatch.setattr(Sure, "predict_proba", lambda self, examples: np.full((len(examples), 2), np.nan))
    with pytest.raises(UserError, match="has no probabilities"):
        classify(members, far, far, None)


def test_warnings_name_recordings_and_speakers(reference: Reference, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        warn_of_recordings(reference, recordings(5, 1), ["a"] * 5, 0.025)
        warn_of_speakers(["s"] * 9, np.array([0, 1] * 4 + [0]), LABELS, "speaker")
        warn_of_speakers(["s"], np.array([0]), LABELS, "speaker-mean")
    assert not caplog.messages
    with caplog.at_level(logging.WARNING):
        far = [*recordings(1, 1), *recordings(1, 2, shift=2.0), *recordings(1, 3, windows=400)]
        warn_of_recordings(reference, far, ["near", "odd.wav", "long.wav"], 0.025)
        warn_of_speakers(["s"] * 10 + ["t"], np.array([1] * 10 + [0]), LABELS, "speaker")
    text = "\n".join(caplog.messages)
    assert "odd.wav" in text and "far longer than all training recordings" in text and "long.wav" in text
    assert (
        "1 have fewer than 8 recordings (first: t)" in text and "s: 10 of 10 recordings are classified as ang" in text
    )
