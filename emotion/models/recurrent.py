"""Bidirectional LSTM with recurrent dropout, the layer that both encoders use.

In the shape comments: B utterances, T steps, F inputs, H units per direction.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


def reverse_within(x: Tensor, lengths: Tensor) -> Tensor:
    """Reverse each sequence within its own length; steps after its end keep their place.

    Parameters
    ----------
    x : Tensor [shape=(B, T, ...)]
    lengths : Tensor [shape=(B,)]
    """
    steps = torch.arange(x.shape[1], device=x.device)[None, :]  # 1 T
    index = torch.where(steps < lengths[:, None], lengths[:, None] - 1 - steps, steps)  # B T
    return x[torch.arange(x.shape[0], device=x.device)[:, None], index]


class BiLSTM(nn.Module):
    """One bidirectional LSTM layer with dropout on the recurrent connection.

    The hidden state passed from one step to the next is multiplied by a mask that is sampled once per sequence and
    direction (Gal & Ghahramani 2016, as Keras' ``recurrent_dropout``), so that a unit is off for a whole utterance.
    Dropping recurrent weights (DropConnect) is a different method. Without dropout, hence always in evaluation, the
    same weights run in torch's fused kernel.

    Initial weights are Glorot for the inputs and orthogonal for the recurrence, with a forget bias of 1.

    Parameters
    ----------
    input_size, hidden_size : int
        F and H.
    recurrent_dropout : float
        Probability that a unit is masked, from 0 to less than 1.
    keras : bool
        As in Keras: initial weights are drawn for the kernels of all four gates together, and each gate has a mask of
        its own (as in Keras 2.0 to 2.2, ``implementation=1``); otherwise gate by gate, with one mask for all.
    """

    def __init__(self, input_size: int, hidden_size: int, recurrent_dropout: float = 0.0, keras: bool = False) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.recurrent_dropout = recurrent_dropout
        self.keras = keras
        self.lstm = nn.LSTM(input_size, hidden_size, batch_first=True, bidirectional=True)
        for name, parameter in self.lstm.named_parameters():
            with torch.no_grad():
                if "weight_ih" in name:
                    for kernel in parameter.chunk(1 if keras else 4):
                        nn.init.xavier_uniform_(kernel)
                elif "weight_hh" in name:
                    for kernel in parameter.chunk(1 if keras else 4):
                        nn.init.orthogonal_(kernel)
                else:
                    parameter.zero_()
                    if "bias_ih" in name:
                        parameter[hidden_size : 2 * hidden_size] = 1.0  # gates are in, forget, cell, out

    def draw_mask(self, n_sequences: int) -> Tensor:
        """Sample a mask for each direction and sequence: 0 or 1 / (1 - recurrent_dropout).

        [shape=(2, B, H)], or [shape=(2, 4, B, H)] with `keras`.
        """
        keep = 1.0 - self.recurrent_dropout
        weight = next(self.lstm.parameters())
        shape = (2, 4, n_sequences, self.hidden_size) if self.keras else (2, n_sequences, self.hidden_size)
        return torch.full_like(weight[:1, :1], keep).expand(shape).bernoulli() / keep

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Run over sequences.

        Parameters
        ----------
        x : Tensor [shape=(B, T, F)]
        lengths : Tensor [shape=(B,)], on the CPU
            Length of each sequence, 0 allowed; steps after its end are not processed.

        Returns
        -------
        outputs : Tensor [shape=(B, T, 2 * H)]
            Zero after a sequence's end.
        last : Tensor [shape=(B, 2 * H)]
            The last processed state of each direction; zero for an empty sequence.
        """
        if self.training and self.recurrent_dropout > 0:
            return self.run_masked(x, lengths, self.draw_mask(len(x)))
        return self._run_fused(x, lengths)

    def _run_fused(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        if bool((lengths == x.shape[1]).all()):
            outputs, (last, _) = self.lstm(x)
            return outputs, last.transpose(0, 1).flatten(1)
        # Packing rejects empty sequences: process one step of padding instead and set the result to zero.
        packed = pack_padded_sequence(x, lengths.clamp(min=1), batch_first=True, enforce_sorted=False)
        packed_outputs, (last, _) = self.lstm(packed)
        outputs, _ = pad_packed_sequence(packed_outputs, batch_first=True, total_length=x.shape[1])
        some = (lengths > 0).to(x)  # B
        return outputs * some[:, None, None], last.transpose(0, 1).flatten(1) * some[:, None]

    def run_masked(self, x: Tensor, lengths: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """`forward` with a given mask, as from `draw_mask`, on the recurrent connection.

        One loop advances both directions; everything independent of the state is computed before it.
        """
        B, T, _ = x.shape
        ih, hh, bias_ih, bias_hh, ih_back, hh_back, bias_ih_back, bias_hh_back = self.lstm.parameters()
        lengths = lengths.to(x.device)
        inputs = torch.stack((x, reverse_within(x, lengths)))  # 2 B T F
        weight_ih = torch.stack((ih, ih_back))  # 2 4H F
        weight_hh = torch.stack((hh, hh_back)).transpose(1, 2)  # 2 H 4H
        bias = torch.stack((bias_ih + bias_hh, bias_ih_back + bias_hh_back))  # 2 4H
        projected = torch.baddbmm(bias[:, None], inputs.flatten(1, 2), weight_ih.transpose(1, 2))  # 2 B*T 4H
        steps = projected.unflatten(1, (B, T)).permute(2, 0, 1, 3)  # T 2 B 4H
        outputs, last = _Recurrence.apply(steps, weight_hh, mask, lengths)  # T 2 B H, 2 B H
        forward, backward = outputs.permute(1, 2, 0, 3)  # each B T H
        return torch.cat((forward, reverse_within(backward, lengths)), dim=2), last.transpose(0, 1).flatten(1)


class _Recurrence(torch.autograd.Function):
    """The recurrent part of the LSTM with an explicit gradient.

    Autograd would record a dozen small operations per step; here a step is one matrix product and its gates, and the
    derivatives of the gates and the gradient of the weights are computed for all steps at once.
    """

    @staticmethod
    def forward(ctx, steps: Tensor, weight: Tensor, mask: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[no-untyped-def, override]
        T, _, B, _ = steps.shape
        H = weight.shape[1]
        gates = steps.clone(memory_format=torch.contiguous_format)  # T 2 B 4H
        cells = steps.new_zeros(T + 1, 2, B, H)  # cells[t] is the input of step t
        hidden = steps.new_zeros(T + 1, 2, B, H)
        tanh_cells = steps.new_empty(T, 2, B, H)
        running = (torch.arange(T, device=lengths.device)[:, None] < lengths).to(steps)[:, None, :, None]  # T 1 B 1
        shortest = int(lengths.min())
        of_gates = _of_gates(weight) if mask.dim() == 4 else weight  # 2 4 H H
        for t in range(T):
            if mask.dim() == 4:
                recurrent = torch.matmul(hidden[t][:, None] * mask, of_gates)  # 2 4 B H
                gate = gates[t].add_(recurrent.transpose(1, 2).flatten(2))  # 2 B 4H
            else:
                gate = gates[t].baddbmm_(hidden[t] * mask, weight)
            gate[..., : 2 * H].sigmoid_()
            gate[..., 2 * H : 3 * H].tanh_()
            gate[..., 3 * H :].sigmoid_()
            i, f, g, o = gate.chunk(4, dim=-1)
            cell = torch.mul(f, cells[t], out=cells[t + 1]).addcmul_(i, g)
            torch.mul(o, torch.tanh(cell, out=tanh_cells[t]), out=hidden[t + 1])
            if t >= shortest:  # sequences that have ended keep their state
                cell.lerp_(cells[t], 1 - running[t])
                hidden[t + 1].lerp_(hidden[t], 1 - running[t])
        ctx.save_for_backward(gates, cells, tanh_cells, hidden, weight, mask, running)
        ctx.shortest = shortest
        return hidden[1:] * running, hidden[T].clone()  # T 2 B H, 2 B H

    @staticmethod
    def backward(ctx, grad_outputs: Tensor, grad_last: Tensor) -> tuple[Tensor, Tensor, None, None]:  # type: ignore[no-untyped-def, override]
        gates, cells, tanh_cells, hidden, weight, mask, running = ctx.saved_tensors
        i, f, g, o = gates.chunk(4, dim=-1)  # each T 2 B H
        # Derivatives of the cell (input, forget and cell gate) and of the state (output gate) by each gate's input.
        slopes = torch.stack((g * i * (1 - i), cells[:-1] * f * (1 - f), i * (1 - g**2), tanh_cells * o * (1 - o)), 3)
        state_to_cell = o * (1 - tanh_cells**2)
        grad_gates = torch.empty_like(slopes)  # T 2 B 4 H
        grad_hidden = grad_last.clone()  # 2 B H, from later steps
        grad_cell = torch.zeros_like(grad_hidden)
        each = mask.dim() == 4  # gate has its own mask
        weight_t = (_of_gates(weight) if each else weight).transpose(-2, -1)  # 2 4 H H, or 2 4H H
        for t in reversed(range(len(gates))):
            ended = t >= ctx.shortest  # sequences that have ended pass their gradients on unchanged
            here, cell = grad_hidden + grad_outputs[t], grad_cell
            if ended:
                here, cell = here * running[t], cell * running[t]
            cell = torch.addcmul(cell, here, state_to_cell[t])
            torch.mul(cell[:, :, None], slopes[t, :, :, :3], out=grad_gates[t, :, :, :3])
            torch.mul(here, slopes[t, :, :, 3], out=grad_gates[t, :, :, 3])
            if each:
                into_hidden = torch.matmul(grad_gates[t].transpose(1, 2), weight_t).mul_(mask).sum(dim=1)
            else:
                into_hidden = torch.bmm(grad_gates[t].flatten(2), weight_t).mul_(mask)
            into_cell = cell * f[t]
            if ended:
                into_hidden.addcmul_(grad_hidden, 1 - running[t])
                into_cell.addcmul_(grad_cell, 1 - running[t])
            grad_hidden, grad_cell = into_hidden, into_cell
        grad_steps = grad_gates.flatten(3)  # T 2 B 4H
        by_gate = grad_gates.unbind(3) if each else [grad_steps]  # T 2 B H each, or T 2 B 4H
        masks = mask.unbind(1) if each else [mask]
        grad_weight = []
        for grad, own in zip(by_gate, masks, strict=True):
            states = (hidden[:-1] * own).transpose(0, 1).flatten(1, 2)  # 2 T*B H
            grad_weight.append(torch.bmm(states.transpose(1, 2), grad.transpose(0, 1).flatten(1, 2)))
        return grad_steps, torch.cat(grad_weight, dim=2), None, None


def _of_gates(weight: Tensor) -> Tensor:
    """Recurrent weights gate by gate: [shape=(2, H, 4 * H)] -> [shape=(2, 4, H, H)]."""
    return weight.unflatten(2, (4, -1)).transpose(1, 2)
