"""The training scheme of earlier Speech2Vec code, rewritten as a baseline for `bench_training`.

It draws (centre, context) pairs in random order and pads them, encodes the centre anew for each pair, and runs the
decoder frame by frame in Python, for all pairs of a batch at once.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from speech2vec.features.store import Store
from speech2vec.model.decoder import AttentionDecoder
from speech2vec.model.recurrence.layers import LSTMLayer
from speech2vec.model.speech2vec import Speech2Vec
from speech2vec.runtime.errors import UserError


class PerPairScheme(nn.Module):
    """A model of padded pairs: encodes the centre of each pair, and decodes its context frame by frame.

    Parameters
    ----------
    n_mfcc, vector_size : int
    attention : bool
        Instead of getting z at every step, the decoder attends over all encoder states, and starts from the encoder's
        cell state too.
    """

    def __init__(self, n_mfcc: int, vector_size: int, attention: bool = False) -> None:
        super().__init__()
        self.encoder = nn.LSTM(n_mfcc, vector_size // 2, bidirectional=True, batch_first=True)
        self.decoder = nn.LSTMCell(n_mfcc if attention else n_mfcc + vector_size, vector_size)
        self.combine = nn.Linear(2 * vector_size, vector_size) if attention else None
        self.output = nn.Linear(vector_size, n_mfcc)

    def forward(self, centre: Tensor, n_centre: Tensor, context: Tensor, n_context: Tensor) -> Tensor:
        """Squared error summed over all frames of the contexts, without padding.

        Parameters
        ----------
        centre, context : Tensor [shape=(n_pairs, longest, n_mfcc)]
            Padded with zeros.
        n_centre, n_context : Tensor [shape=(n_pairs,)], int64
        """
        packed = nn.utils.rnn.pack_padded_sequence(centre, n_centre, batch_first=True, enforce_sorted=False)
        encoded, (h, c) = self.encoder(packed)
        z, cell = (torch.cat([state[0], state[1]], dim=1) for state in (h, c))  # (P, D)
        if self.combine is None:
            predicted = self._conditioned(z, context)
        else:
            states, _ = nn.utils.rnn.pad_packed_sequence(encoded, batch_first=True)  # (P, T, D)
            predicted = self._with_attention(z, cell, states, n_centre, context)
        real = torch.arange(context.shape[1]) < n_context[:, None]  # packing needs lengths on the CPU
        return (((predicted - context) ** 2).sum(2) * real.to(context.device)).sum()

    def _conditioned(self, z: Tensor, context: Tensor) -> Tensor:
        h, c, before = z, torch.zeros_like(z), torch.zeros_like(context[:, 0])
        predicted = []
        for frame in context.unbind(1):
            h, c = self.decoder(torch.cat([before, z], dim=1), (h, c))
            predicted.append(self.output(h))
            before = frame
        return torch.stack(predicted, dim=1)

    def _with_attention(self, h: Tensor, c: Tensor, states: Tensor, n_states: Tensor, context: Tensor) -> Tensor:
        assert self.combine is not None
        behind = torch.arange(states.shape[1]) >= n_states[:, None]
        padding = states.new_zeros(states.shape[:2]).masked_fill_(behind.to(states.device), -torch.inf)
        before = torch.zeros_like(context[:, 0])
        predicted = []
        for frame in context.unbind(1):
            h, c = self.decoder(before, (h, c))
            scores = torch.baddbmm(padding[:, :, None], states, h[:, :, None])  # (P, T, 1)
            attended = torch.softmax(scores, dim=1).transpose(1, 2) @ states  # (P, 1, D)
            predicted.append(self.output(torch.tanh(self.combine(torch.cat([h, attended[:, 0]], dim=1)))))
            before = frame
        return torch.stack(predicted, dim=1)


def with_weights_of(model: Speech2Vec) -> PerPairScheme:
    """The same model (bidirectional skip-gram with teacher forcing) in the per-pair scheme."""

    def torch_order(gates: Tensor) -> Tensor:
        i, f, o, candidate = gates.chunk(4, dim=-1)
        return torch.cat([i, f, candidate, o], dim=-1).t()

    decoder, attends = model.decoder, isinstance(model.decoder, AttentionDecoder)
    plain = PerPairScheme(model.n_mfcc, model.settings.vector_size, attends).to(decoder.output.weight.dtype)
    forwards, backwards = model.encoder.directions
    layers = (
        (forwards, plain.encoder, "_l0"),
        (backwards, plain.encoder, "_l0_reverse"),
        (decoder.lstm, plain.decoder, ""),
    )
    with torch.no_grad():
        for weights, module, suffix in layers:
            assert isinstance(weights, LSTMLayer)
            names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            input_, recurrent, bias, second_bias = (getattr(module, name + suffix) for name in names)
            input_.copy_(torch_order(weights.input))
            recurrent.copy_(torch_order(weights.recurrent))
            bias.copy_(torch_order(weights.bias))
            second_bias.zero_()
        plain.output.load_state_dict(decoder.output.state_dict())
        if plain.combine is not None:
            plain.combine.load_state_dict(decoder.get_submodule("combine").state_dict())
    return plain


def padded(store: Store, rows: np.ndarray) -> tuple[Tensor, Tensor]:
    """Words of a store, padded with zeros [shape=(n_words, longest, n_mfcc)], and their lengths."""
    n = store.n_frames[rows].astype(np.int64)
    time_ = np.arange(n.max())
    frames = store.frames[store.first_frame[rows, None] + np.minimum(time_, n[:, None] - 1)]
    frames[time_ >= n[:, None]] = 0
    return torch.from_numpy(frames), torch.from_numpy(n)


def update(model: nn.Module, weights: torch.optim.Optimizer, loss: Tensor, clip: float) -> None:
    """Gradients, clipping, a step of the optimiser; loss and norm are read, as earlier trainers do."""
    weights.zero_grad(set_to_none=True)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), clip)
    if not np.isfinite([float(loss.detach()), float(norm)]).all():
        raise UserError("the loss is not finite: are the frames of the store normalised?")
    weights.step()
