"""Sequences of different lengths laid out time-major, longest first, so that a recurrence computes no padding.

Step t holds the sequences that are longer than t, on rows that lie together. In shape comments S is packed rows, B
sequences, H the hidden size.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor


def running_sequences(lengths: np.ndarray) -> list[int]:
    """How many of some lengths (each 1 or more) are longer than 0, than 1, and so on, as far as there are any."""
    of_length = np.bincount(lengths)
    running: list[int] = (len(lengths) - np.cumsum(of_length))[:-1].tolist()
    return running


@dataclass(frozen=True)
class Packing:
    """How sequences lie in packed order.

    Parameters
    ----------
    order : Tensor [shape=(n_sequences,)], int64
        The sequences, longest first.
    lengths : Tensor [shape=(n_sequences,)], int64
        In the order of `order`.
    begin : Tensor [shape=(longest + 1,)], int64
        The first row of each step and, at last, the number of rows.
    sequence, time : Tensor [shape=(n_rows,)], int64
        Of each packed row: its sequence (as a position in `order`) and its time step.
    running : list of int or None
        `batch_sizes`, where they are known.
    """

    order: Tensor
    lengths: Tensor
    begin: Tensor
    sequence: Tensor
    time: Tensor
    running: list[int] | None = None

    @classmethod
    def of(
        cls,
        lengths: Tensor,
        longest: int | None = None,
        n_rows: int | None = None,
        running: list[int] | None = None,
    ) -> Packing:
        """Pack sequences of these lengths (each 1 or more).

        Parameters
        ----------
        lengths : Tensor [shape=(n_sequences,)], int64
        longest : int or None
            No sequence is longer.
        n_rows : int or None
            The sum of the lengths.
        running : list of int or None
            Sequences longer than t, for each t (`running_sequences`). What is None is read off `lengths`, for which a
            GPU must finish all queued work.
        """
        device = lengths.device
        longest = int(lengths.max()) if longest is None else longest
        n_rows = int(lengths.sum()) if n_rows is None else n_rows
        descending, order = torch.sort(lengths, descending=True, stable=True)
        steps = torch.arange(longest, device=device)
        sizes = len(lengths) - torch.searchsorted(descending.flip(0), steps, right=True)  # longer than 0, 1, ...
        begin = torch.cat([sizes.new_zeros(1), torch.cumsum(sizes, 0)])
        time = torch.repeat_interleave(steps, sizes, output_size=n_rows)
        sequence = torch.arange(n_rows, device=device) - begin[time]
        return cls(order, descending, begin, sequence, time, running)

    @cached_property
    def batch_sizes(self) -> list[int]:
        """Sequences longer than t, for each t; where they are not known a GPU must finish all queued work."""
        return self.running or [n for n in self.begin.diff().tolist() if n]

    @cached_property
    def last_rows(self) -> Tensor:
        """The packed row of each sequence's last step [shape=(n_sequences,)], in the order of `order`."""
        return self.begin[self.lengths - 1] + torch.arange(len(self.lengths), device=self.lengths.device)

    @cached_property
    def previous_rows(self) -> Tensor:
        """The packed row one step before, for each row but those of step 0 [shape=(n_rows - n_sequences,)]."""
        n = len(self.lengths)
        return self.begin[self.time[n:] - 1] + self.sequence[n:]
