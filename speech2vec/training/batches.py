"""Batches on the device: the words of a store gathered without waiting for the device and without a loop over words.

Where a GPU's memory holds all frames of the store they are copied there once, and a batch is index arithmetic on the
device. Elsewhere frames are gathered from the memory map into pinned memory, and copied while the device computes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from speech2vec.features.store import Store
from speech2vec.model.encoder import Segments
from speech2vec.model.recurrence.packing import running_sequences
from speech2vec.runtime.progress import log
from speech2vec.training.sampler import Batch

FRAMES_SHARE = 0.5  # of a GPU's free memory; the rest is for activations
CHUNK_FRAMES = 1_000_000  # copied to the device at once


@dataclass(frozen=True)
class DeviceBatch:
    """A batch on the device: the model's input.

    Parameters
    ----------
    words : Segments
    centre, context : Tensor [shape=(n_pairs,)], int64
        Positions in `words`.
    n_rows : int
        Total number of frames of all contexts.
    running : list of int or None
        How many contexts are longer than 0 frames, than 1, and so on.
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
    """The words of a store as segments on a device.

    Parameters
    ----------
    store : Store
    device : torch.device
    resident : bool or None
        Keep all frames on the device. None: if it is a GPU and they fit into half of its free memory.
    """

    def __init__(self, store: Store, device: torch.device, resident: bool | None = None) -> None:
        self.store, self.device = store, device
        self.resident = fits_on_device(store, device) if resident is None else resident
        if self.resident:
            self._frames = _copy_frames(store.frames, device)
            self._first_frame, self._n_frames = (
                torch.from_numpy(column.astype(np.int64)).to(device) for column in (store.first_frame, store.n_frames)
            )
            if device.type == "cuda":
                log.info("%.1f GB of frames kept on the device", store.frames.nbytes / 1e9)

    def segments(self, rows: np.ndarray) -> Segments:
        """The frames of the words in `rows` [shape=(n_words,)]."""
        n = self.store.n_frames[rows].astype(np.int64)
        longest, total, running = int(n.max(initial=0)), int(n.sum()), running_sequences(n)
        if self.resident:
            taken = self._put(rows)
            lengths = self._n_frames[taken]
            first = torch.cumsum(lengths, 0) - lengths
            # output_size is known on the host: without it repeat_interleave would wait for the device.
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


def fits_on_device(store: Store, device: torch.device) -> bool:
    """Whether the device is a GPU, and its free memory holds the frames of the store beside activations."""
    if device.type != "cuda":
        return False  # nothing to gain: the memory map is in main memory
    free, _ = torch.cuda.mem_get_info(device)
    return bool(4 * store.frames.size < FRAMES_SHARE * free)  # float32, whatever the file holds


def _copy_frames(frames: np.ndarray, device: torch.device) -> Tensor:
    out = torch.empty(frames.shape, device=device)
    for begin in range(0, len(frames), CHUNK_FRAMES):
        out[begin : begin + CHUNK_FRAMES] = torch.from_numpy(np.array(frames[begin : begin + CHUNK_FRAMES]))
    return out
