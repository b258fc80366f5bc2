"""A run as users of the Python interface hold it: its word vectors, and vectors of words of new audio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from gensim.models import KeyedVectors

from speech2vec.corpus import audio
from speech2vec.corpus.manifest import Word
from speech2vec.features.frontend import owed
from speech2vec.runtime.display import Displayed, Table
from speech2vec.training import run as runs
from speech2vec.training.methods import PUBLISHED
from speech2vec.vectors.instances import word_vectors
from speech2vec.vectors.portable import PortableEncoder

_LOSSES = ("loss", "shuffled", "shuffled_within", "previous_frame", "mean_frame")


class Run(runs.Run, Displayed):
    """A trained run: its model, its store and its metrics; see `speech2vec.load`.

    Examples
    --------
    >>> import speech2vec as s2v
    >>> run = s2v.load("run")                                   # doctest: +SKIP
    >>> run.word_vectors().most_similar("house")                # doctest: +SKIP
    """

    @classmethod
    def of(cls, run: runs.Run) -> Run:
        """The same run."""
        return cls(**{one.name: getattr(run, one.name) for one in fields(run)})

    def word_vectors(self, min_count: int = 1, *, held_out: bool = False) -> KeyedVectors:
        """The vector of each word, the mean over its instances, as gensim's `KeyedVectors` with counts.

        Parameters
        ----------
        min_count : int
            Words with fewer instances get no vector.
        held_out : bool
            Of the held-out speakers' words alone.

        Raises
        ------
        UserError
            If held-out words are asked for, and the store is not the one that the run was trained on.
        """
        return word_vectors(self, min_count, held_out=held_out).to_keyed_vectors()

    def encode(self, recording: str | Path, words: Sequence[Word] | Sequence[tuple[float, float]]) -> np.ndarray:
        """The vectors of spoken words of a recording.

        Parameters
        ----------
        recording : path
            An audio file.
        words : sequence of Word, or of (start, end) in seconds
            At least one. The recording is normalised over these words.

        Returns
        -------
        ndarray [shape=(n_words, vector_size)], float32

        Raises
        ------
        UserError
            If the audio cannot be read, or a word lies outside it.
        """
        path = Path(recording)
        spans = [(word.start, word.end) if isinstance(word, Word) else word for word in words]
        encoder = PortableEncoder.from_run(self)
        rate = encoder.front_end.settings.sampling_rate
        return encoder.encode(audio.load(path, sampling_rate=rate), rate, spans)

    def to_dict(self) -> dict[str, Any]:
        """Path, settings, progress and the metrics of each epoch."""
        return {
            "run": str(self.path),
            "store": str(self.store.path),
            "synthetic": self.store.synthetic,
            "method": self.settings.method,
            "labels": self.labels,
            "settings": self.settings.model_dump(),
            "progress": self.progress,
            "metrics": self.metrics,
        }

    def display_parts(self) -> list[str | Table]:
        """The held-out loss beside its controls, and what training changed."""
        metrics = self.metrics
        if not metrics:
            return [f"run {self.path}: not trained yet"]
        first, last = metrics[0], metrics[-1]
        speech = "SYNTHETIC speech" if self.store.synthetic else "speech"
        if self.settings.method == PUBLISHED:
            before, loss, shuffled, within, previous, mean = (
                f"{row[key]:.4f}" if key in row else "?"  # a value that the run, made before, did not measure
                for row, key in ((first, "dev_loss"), *((last, f"dev_{name}") for name in _LOSSES))
            )
            text = (
                f"run {self.path}: {last['epoch']} epochs, held-out loss {before} -> {loss} on {speech} "
                f"(z shuffled {shuffled}, within the utterance {within}, previous frame {previous}, mean frame {mean})"
                f"; labels used: {self.labels}"
            )
        else:
            text = (
                f"run {self.path}: {self.settings.method}, {self.model.vector_size} dimensions, fitted in "
                f"{last.get('seconds', 0.0):,.1f} s to {speech}; labels used: {self.labels}"
            )
        for name, label in (("same_different_ap", "all pairs"), ("same_different_ap_cross_speaker", "across speakers")):
            if name in last and name in first:
                change = f"untrained {first[name]:.4f} -> {last[name]:.4f}"
                text += f"\n  same-different average precision on held-out speech, {label}: {change}"
        if found := owed(self.store.settings):
            text += f"\n  {found}"
        return [text]
