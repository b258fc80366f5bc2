"""What is watched while a model trains: same-word discrimination, similarity, a predicted beside a true segment.

The trainer knows nothing of this; it calls what it is handed (`on_epoch_end`).
"""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.figure import Figure

from speech2vec.discrimination import same_different, select_instances
from speech2vec.encoding import encode_instances, segments_of
from speech2vec.model import Speech2Vec
from speech2vec.skipgram import pairs
from speech2vec.store import Store
from speech2vec.trainer import EpochEnd

# A watch, not the result: enough instances for a steady curve, a second of work.
_INSTANCES = 3_000


class Monitor:
    """Measure every so many epochs, before the first and after the last.

    Parameters
    ----------
    every : int
        Epochs.
    """

    def __init__(self, every: int) -> None:
        self.every = every

    def __call__(self, end: EpochEnd) -> dict[str, float]:
        if not (end.last or end.epoch % self.every == 0):
            return {}
        end.writer.add_figure("held-out/decoded", decoded_figure(end.model, end.store, end.split.held_out), end.step)
        return self._discrimination(end)

    def _discrimination(self, end: EpochEnd) -> dict[str, float]:
        store, rows = end.store, end.split.held_out
        seconds = store.end[rows] - store.start[rows]
        chosen = rows[select_instances(store.types, store.word_id[rows], seconds, max_instances=_INSTANCES)]
        if len(chosen) < 2:
            return {}
        vectors = encode_instances(end.model, store, chosen, end.device)
        result = same_different(vectors, store.word_id[chosen], store.speaker[chosen])
        values = {
            "same_different_ap": result.ap,
            "same_different_ap_cross_speaker": result.ap_cross_speaker,
            "same_different_instances": float(result.n_instances),
        }
        return {name: float(value) for name, value in values.items() if np.isfinite(value)}


@torch.inference_mode()
def decode_pair(model: Speech2Vec, store: Store, centre: int, context: int) -> tuple[np.ndarray, np.ndarray]:
    """A context word's frames as decoded from the centre's z, and as they are [shape=(n_frames, n_mfcc)]."""
    device = next(model.parameters()).device
    words = segments_of(store, np.array([centre, context]), device)
    index = torch.tensor([0], device=device), torch.tensor([1], device=device)
    z = model.encoder(words)
    if model.settings.objective == "cbow":
        index = index[1], index[0]  # the neighbour generates the centre
    decoded = model.decode(z, words, *index)
    return decoded.predicted.cpu().numpy(), decoded.target.cpu().numpy()


def decoded_figure(model: Speech2Vec, store: Store, rows: np.ndarray) -> Figure:
    """A held-out neighbour, decoded beside true: a picture of what the model has learned to expect."""
    centre, context = pairs(store.utterance[rows], window=1)
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
