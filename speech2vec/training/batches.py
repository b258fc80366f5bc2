"""Batches where the model computes: a store's words gathered on a device, with no wait for it and no loop over words.

On a GPU whose memory holds the frames of the store they are copied there once, and a batch is index arithmetic on the
device. Otherwise the rows are gathered from the memory map into pinned memory and copied beside the computation.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from speech2vec.features.store import Store
from speech2vec.model.encoder import Segments
from speech2vec.model.recurrence.packing import running_sequences
from speech2vec.training.sampler import Batch

log = logging.getLogger("speech2vec")


# Share of a GPU's free memory that frames may take; the rest is for activations.
_ROOM = 0.5


# Frames copied to the device at once.
_CHUNK = 1_000_000


@dataclass(frozen=True)
class DeviceBatch:
    """A batch as the model takes it.

    Parameters
    ----------
    words : Segments
    centre, context : Tensor [shape=(n_pairs,)], int64
        Positions in `words`.
    n_rows : int
        Frames of all contexts.
    running : list of int or None
        Contexts that are longer than 0 frames, than 1, and so on.
    """

    words: Segments
    centre: Tensor
    context: Tensor
    n_rows: int
    running: list[int] | None = None

    @property
    def n_pairs(self) -> int:
        return len(self.centre)


class DeviceStore:
    """The words of a store, as segments on a device.

    Parameters
    ----------
    store : Store
    device : torch.device
    resident : bool or None
        Keep all frames on the device; None: on a GPU on which they fit into half of the free memory.
    """

    def __init__(self, store: Store, device: torch.device, resident: bool | None = None) -> None:
        self.store, self.device = store, device
        self.resident = _fits(store, device) if resident is None else resident
        if self.resident:
            self._frames = _copied(store.frames, device)
            self._first_frame, self._n_frames = (
                torch.from_numpy(column.astype(np.int64)).to(device) for column in (store.first_frame, store.n_frames)
            )
            if device.type == "cuda":
                log.info("%.1f GB of frames are kept on the device", store.frames.nbytes / 1e9)

    def segments(self, rows: np.ndarray) -> Segments:
        """The frames of some words [shape=(n_words,)]."""
        n = self.store.n_frames[rows].astype(np.int64)
        longest, total, running = int(n.max(initial=0)), int(n.sum()), running_sequences(n)
        if self.resident:
            taken = self._put(rows)
            lengths = self._n_frames[taken]
            first = torch.cumsum(lengths, 0) - lengths
            # The number of rows is known here, so nothing waits for the device to say it.
            offset = torch.repeat_interleave(self._first_frame[taken] - first, lengths, output_size=total)
            index = offset + torch.arange(total, device=self.device)
            return Segments(self._frames.index_select(0, index), first, lengths, longest, total, running)
        begin = np.cumsum(n) - n
        frames = torch.empty((total, self.store.n_mfcc), pin_memory=self.device.type == "cuda")
        self.store.gather(rows, out=frames.numpy())
        return Segments(
            frames.to(self.device, non_blocking=True), self._put(begin), self._put(n), longest, total, running
        )

    def batch(self, batch: Batch) -> DeviceBatch:
        """A sampler's batch on the device."""
        n = self.store.n_frames[batch.words][batch.context]
        sides = self._put(batch.centre), self._put(batch.context)
        return DeviceBatch(self.segments(batch.words), *sides, int(n.sum(dtype=np.int64)), running_sequences(n))

    def _put(self, values: np.ndarray) -> Tensor:
        tensor = torch.from_numpy(values)
        return tensor.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else tensor


def _fits(store: Store, device: torch.device) -> bool:
    if device.type != "cuda":
        return False  # the memory map is in main memory already, as far as that goes
    free, _ = torch.cuda.mem_get_info(device)
    return bool(store.frames.nbytes < _ROOM * free)


def _copied(frames: np.ndarray, device: torch.device) -> Tensor:
    out = torch.empty(frames.shape, device=device)
    for begin in range(0, len(frames), _CHUNK):
        out[begin : begin + _CHUNK] = torch.from_numpy(np.array(frames[begin : begin + _CHUNK]))
    return out
