"""Measures during training: same-different, word similarity, a decoded segment; for TensorBoard.

The trainer does not know of them; it calls its callback (`on_epoch_end`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from speech2vec.evaluation.average_precision import precision_of_vectors
from speech2vec.evaluation.benchmarks import read_benchmarks
from speech2vec.evaluation.same_different import InstanceFilter
from speech2vec.evaluation.similarity import MIN_RESAMPLED, cosines, folded_index, spearman
from speech2vec.features.store import Store
from speech2vec.model.encoding import StoreVectors, decode_pair
from speech2vec.model.speech2vec import Speech2Vec
from speech2vec.model.word_encoder import Words
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import atomic_path
from speech2vec.runtime.progress import log
from speech2vec.training.metrics import DivergedError, EpochState
from speech2vec.training.presets import VectorSettings
from speech2vec.training.sampler import neighbour_pairs
from speech2vec.vectors.instances import RESAMPLED, InstanceEncoder, at_most_each, instance_vectors, with_counts
from speech2vec.vectors.resampled import resampled_baseline
from speech2vec.vectors.word_vectors import WordVectors, average_instances

_SELECTION = InstanceFilter(max_instances=3_000)  # enough for a steady curve, in a second
_WORDS = 2_000  # for the projector, besides those of the benchmarks
_INSTANCES_PER_WORD = 10  # averaged to a word's vector


class Monitor:
    """Measure every few epochs, before the first and after the last; similarity on the two benchmarks in gensim.

    Parameters
    ----------
    every : int
        Number of epochs between measurements.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self.benchmarks = read_benchmarks()
        self._rows: np.ndarray | None = None
        self._baseline: dict[str, float] | None = None

    def __call__(self, end: EpochState) -> dict[str, float]:
        if not (end.last or end.epoch % self.every == 0):
            return {}
        end.writer.add_figure("held-out/decoded", decoded_figure(end.model, end.store, end.split.held_out), end.step)
        encode = StoreVectors(end.model, end.store)
        vectors = self._word_vectors(encode, end.settings.vectors, end.step)
        write_projector(Path(end.writer.log_dir), vectors)
        return {**self._discrimination(encode, end.split.held_out), **self._similarity(vectors)}

    def measure(self, encode: StoreVectors, held_out: np.ndarray, settings: VectorSettings) -> dict[str, float]:
        """What is measured of an encoder that is trained in one go, on a store of which some rows are held out."""
        return {**self._discrimination(encode, held_out), **self._similarity(self._word_vectors(encode, settings))}

    def _discrimination(self, encode: StoreVectors, held_out: np.ndarray) -> dict[str, float]:
        """Same-different on held-out words, beside what needs no training (measured once)."""
        if self._baseline is None:
            measured = _discrimination(resampled_held_out(encode.store, held_out), encode.store, held_out)
            self._baseline = {f"{name}_{RESAMPLED}": value for name, value in measured.items()}
            self._baseline.pop(f"same_different_instances_{RESAMPLED}", None)
        return {**_discrimination(encode, encode.store, held_out), **self._baseline}

    def _word_vectors(self, encode: StoreVectors, settings: VectorSettings, step: int = 0) -> WordVectors:
        """Vectors of the most frequent words and those of the benchmarks, each the mean of a few instances."""
        store = encode.store
        if self._rows is None:
            rated = {word for benchmark in self.benchmarks for pair in benchmark.pairs for word in pair}
            wanted = np.array([n < _WORDS or word.casefold() in rated for n, word in enumerate(store.types)])
            rows = np.flatnonzero(wanted[store.word_id])
            self._rows = at_most_each(store.word_id, rows, _INSTANCES_PER_WORD, seed=0)
        instances = instance_vectors(encode, settings, self._rows)
        if not np.isfinite(instances).all():
            raise DivergedError("a word's vector", float("nan"), step)
        return with_counts(average_instances(instances, store.word_id[self._rows], store.types), store)

    def _similarity(self, vectors: WordVectors) -> dict[str, float]:
        index = folded_index(vectors)
        values = {}
        for benchmark in self.benchmarks:
            similarity = cosines(vectors, benchmark, index)
            covered = ~np.isnan(similarity)
            if covered.sum() >= MIN_RESAMPLED:
                rho = spearman(similarity[covered], benchmark.ratings[covered])
                values[f"similarity_{benchmark.name}"] = float(rho)
        return {name: value for name, value in values.items() if np.isfinite(value)}


def resampled_held_out(store: Store, held_out: np.ndarray) -> InstanceEncoder:
    """The resampled baseline on held-out rows of a store, fitted to the others when it is first asked for.

    It encodes the held-out words only: a speaker's mean is over these.
    """

    def encode(rows: np.ndarray) -> np.ndarray:
        fitted = resampled_baseline(store, np.setdiff1d(np.arange(store.n_words), held_out))
        return fitted.encode(Words.from_store(store, held_out))[np.searchsorted(held_out, rows)]

    return encode


def _discrimination(encode: InstanceEncoder, store: Store, rows: np.ndarray) -> dict[str, float]:
    chosen = _SELECTION.select_rows(store, rows)
    try:
        result = precision_of_vectors(encode(chosen), store.word_id[chosen], store.speaker[chosen])
    except UserError as too_few:
        log.info("same-different is not measured: %s", too_few)
        return {}
    values = {
        "same_different_ap": result.all_pairs.ap,
        "same_different_ap_cross_speaker": result.across_speakers.ap,
        "same_different_instances": float(result.n_instances),
    }
    return {name: float(value) for name, value in values.items() if np.isfinite(value)}


def write_projector(run: Path, vectors: WordVectors) -> None:
    """Write word vectors for TensorBoard's embedding projector, replacing those of an earlier epoch.

    `SummaryWriter.add_embedding` would keep them all, in a new folder for each epoch.

    https://www.tensorflow.org/tensorboard/tensorboard_projector_plugin
    """
    assert vectors.counts is not None
    lines = {
        "vectors.tsv": ["\t".join(f"{value:.6g}" for value in vector) for vector in vectors.vectors.tolist()],
        "words.tsv": ["word\tcount", *(f"{word}\t{n}" for word, n in zip(vectors.words, vectors.counts, strict=True))],
    }
    for name, content in lines.items():
        with atomic_path(run / "projector" / name) as temporary:
            temporary.write_text("\n".join(content) + "\n", encoding="utf-8")
    paths = 'tensor_path: "projector/vectors.tsv" metadata_path: "projector/words.tsv"'
    with atomic_path(run / "projector_config.pbtxt") as temporary:
        temporary.write_text(f'embeddings {{ tensor_name: "words" {paths} }}\n', encoding="utf-8")


def decoded_figure(model: Speech2Vec, store: Store, rows: np.ndarray) -> Figure:
    """The MFCC of a held-out neighbour, true and as the decoder generates it."""
    centre, context = neighbour_pairs(store.utterance[rows], window=1)
    longest = int(np.argmax(store.n_frames[rows[context]]))
    predicted, true = decode_pair(model, store, int(rows[centre[longest]]), int(rows[context[longest]]))
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    low, high = float(true.min()), float(true.max())
    axes = figure.subplots(2, 1, sharex=True)
    seconds = len(true) * store.settings["hop_length"] / store.settings["sampling_rate"]
    for axis, frames, title in zip(axes, (true, predicted), ("true", "decoded"), strict=True):
        axis.imshow(
            frames.T, origin="lower", aspect="auto", vmin=low, vmax=high, extent=(0, seconds, -0.5, store.n_mfcc - 0.5)
        )
        axis.set_ylabel("coefficient")
        axis.set_title(f"{title}: “{store.types[store.word_id[rows[context[longest]]]]}”", loc="left")
    axes[-1].set_xlabel("seconds")
    return figure
