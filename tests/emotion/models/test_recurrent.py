"""The recurrent layer: equal to torch's where it must be, its dropout where it should be."""

import numpy as np
import pytest
import torch

from emotion.models.batches import stack_windows
from emotion.models.encoder import Encoder, InputStatistics, Standardise
from emotion.models.recurrent import BiLSTM, reverse_within
from emotion.settings import ModelSettings

SMALL = {"hidden_size": 4, "dense_size": 5, "recurrent_dropout": 0.3, "dropout": 0.0}


@pytest.fixture
def batch():
    torch.manual_seed(0)
    lengths = torch.tensor([9, 3, 0, 5, 1])
    x = torch.randn(5, 9, 6, dtype=torch.double)
    for row, length in enumerate(lengths):
        x[row, length:] = 0
    return x, lengths


def no_mask(layer, n):
    return torch.ones(2, n, layer.hidden_size, dtype=torch.double)


def test_loop_equals_fused_kernel_with_its_gradients(batch):
    x, lengths = batch
    layer = BiLSTM(6, 4, 0.2).double()
    x.requires_grad_()
    found = []
    for outputs, last in (layer.run_masked(x, lengths, no_mask(layer, 5)), layer.eval()(x, lengths)):
        weights = torch.arange(outputs.numel(), dtype=torch.double).reshape(outputs.shape).cos()
        loss = (outputs * weights).sum() + (last * weights[:, 0]).sum()
        found.append((outputs, last, *torch.autograd.grad(loss, [x, *layer.parameters()])))
    for ours, torchs in zip(*found, strict=True):
        torch.testing.assert_close(ours, torchs)


@pytest.mark.parametrize("keras", [False, True])
def test_gradient_with_dropout_is_that_of_finite_differences(keras):
    torch.manual_seed(4)
    layer = BiLSTM(3, 2, 0.5, keras).double()
    mask = layer.draw_mask(2)
    x = torch.randn(2, 4, 3, dtype=torch.double, requires_grad=True)
    weights = list(layer.parameters())
    lengths = torch.tensor([4, 2])
    assert torch.autograd.gradcheck(lambda x, *_: layer.run_masked(x, lengths, mask), (x, *weights))


def test_equal_masks_of_the_gates_are_one_mask(batch):
    x, lengths = batch
    layer = BiLSTM(6, 4, 0.4).double()
    mask = layer.draw_mask(5)
    found = [layer.run_masked(x, lengths, own) for own in (mask, mask[:, None].expand(-1, 4, -1, -1))]
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_masked_for_one_gate_a_unit_feeds_the_others():
    """Gates are in, forget, cell, out: unit 0 is off for the cell gate only."""
    torch.manual_seed(1)
    layer = BiLSTM(3, 4, 0.5, keras=True)
    x, lengths = torch.randn(1, 12, 3), torch.tensor([12])
    mask = layer.draw_mask(1)
    assert mask.shape == (2, 4, 1, 4)
    mask = torch.full_like(mask, 2.0)
    mask[:, 2, :, 0] = 0
    before = layer.run_masked(x, lengths, mask)[0]
    for gate, same in ((2, True), (1, False)):
        with torch.no_grad():
            layer.lstm.weight_hh_l0[4 * gate : 4 * gate + 4, 0] += 5
        assert torch.allclose(layer.run_masked(x, lengths, mask)[0], before) is same


def test_initial_weights_as_in_keras():
    """The kernels of the four gates are one matrix: Glorot over 4 * H outputs, orthogonal in its H columns."""
    torch.manual_seed(0)
    layer = BiLSTM(40, 16, keras=True)
    limit = np.sqrt(6 / (40 + 4 * 16))
    assert 0.95 * limit < layer.lstm.weight_ih_l0.abs().max() <= limit
    recurrent = layer.lstm.weight_hh_l0.detach()
    torch.testing.assert_close(recurrent.T @ recurrent, torch.eye(16), atol=1e-5, rtol=0)
    gate_by_gate = BiLSTM(40, 16).lstm
    assert gate_by_gate.weight_ih_l0.abs().max() > 0.95 * np.sqrt(6 / (40 + 16))
    one = gate_by_gate.weight_hh_l0[:16].detach()
    torch.testing.assert_close(one @ one.T, torch.eye(16), atol=1e-5, rtol=0)
    assert layer.lstm.bias_ih_l0.tolist() == [0.0] * 16 + [1.0] * 16 + [0.0] * 32


def test_dropped_unit_never_feeds_back():
    """With unit 0 masked, the recurrent weights that leave unit 0 change nothing, at any step."""
    torch.manual_seed(1)
    layer = BiLSTM(3, 4, 0.5)
    x, lengths = torch.randn(1, 12, 3), torch.tensor([12])
    mask = torch.full((2, 1, 4), 2.0)
    mask[:, :, 0] = 0
    before = layer.run_masked(x, lengths, mask)[0]
    with torch.no_grad():
        layer.lstm.weight_hh_l0[:, 0] += 5
        layer.lstm.weight_hh_l0_reverse[:, 0] += 5
    torch.testing.assert_close(layer.run_masked(x, lengths, mask)[0], before)
    with torch.no_grad():
        layer.lstm.weight_hh_l0[:, 1] += 5
    assert not torch.allclose(layer.run_masked(x, lengths, mask)[0], before)


def test_mask_is_drawn_once_for_each_sequence_and_only_in_training(monkeypatch):
    layer = BiLSTM(3, 64, 0.25)
    drawn = []
    draw = layer.draw_mask
    monkeypatch.setattr(layer, "draw_mask", lambda n: drawn.append(draw(n)) or drawn[-1])
    x, lengths = torch.randn(50, 7, 3), torch.full((50,), 7)
    layer.train()(x, lengths)
    assert len(drawn) == 1 and drawn[0].shape == (2, 50, 64)
    values, counts = drawn[0].unique(return_counts=True)
    torch.testing.assert_close(values, torch.tensor([0.0, 1 / 0.75]))
    assert abs(counts[0] / counts.sum() - 0.25) < 0.03
    assert not torch.equal(drawn[0][0, 0], drawn[0][0, 1])
    layer.eval()(x, lengths)
    assert len(drawn) == 1


def test_training_differs_from_evaluation_only_through_the_mask(batch):
    x, lengths = batch
    layer = BiLSTM(6, 4, 0.5).double()
    evaluated = layer.eval()(x, lengths)[1]
    assert not torch.allclose(layer.train()(x, lengths)[1], evaluated)


@pytest.mark.parametrize("pooling", ["last", "mean", "attention", "statistics"])
@pytest.mark.parametrize("training", [False, True])
def test_padding_changes_nothing(batch, pooling, training):
    """Each utterance alone gives what it gives in a padded batch, whatever lies in the padding."""
    x, lengths = batch
    torch.manual_seed(2)
    encoder = Encoder(6, ModelSettings(**SMALL, pooling=pooling), statistics=InputStatistics(6, stack=2))
    encoder.double().train(training)
    encoder.statistics.eval()  # what it learns of the batch is another matter
    mask = encoder.recurrent.draw_mask(5)
    dirty = x.clone()
    for row, length in enumerate(lengths):
        dirty[row, length:] = 7.0
    together = _encode(encoder, dirty, lengths, mask)
    for row, length in enumerate(lengths):
        alone = x[row : row + 1, : max(1, int(length))]
        single = _encode(encoder, alone, lengths[row : row + 1], mask[:, row : row + 1])
        torch.testing.assert_close(single[0], together[row])


def _encode(encoder, x, lengths, mask):
    if not encoder.training:
        return encoder(x, lengths)
    outputs, last = encoder.recurrent.run_masked(x, lengths, mask)
    return encoder.dense(torch.cat((encoder.pool(outputs, last, lengths), encoder.statistics(x, lengths)), dim=1))


def test_input_statistics_are_those_of_the_windows():
    """Three windows a step: mean, deviation and the deviation of the differences, window by window."""
    windows = torch.randn(2, 12, 5, dtype=torch.double, generator=torch.Generator().manual_seed(3))
    statistics = InputStatistics(15, stack=3).eval()  # nothing seen: nothing is standardised
    found = statistics(windows.reshape(2, 4, 15), torch.tensor([4, 2]))
    for row, own in enumerate((windows[0], windows[1, :6])):
        wanted = [own.mean(0), own.std(0, correction=0), own.diff(dim=0).std(0, correction=0)]
        # The root's slope is kept finite at the price of 1e-3.
        torch.testing.assert_close(found[row], torch.cat(wanted), atol=2e-3, rtol=0)


def test_input_statistics_count_the_windows_that_fill_the_last_step():
    """Five windows in steps of four: the last one is there four times, as published figures have it."""
    windows = np.random.default_rng(5).standard_normal((5, 3))
    filled = np.concatenate([windows, *[windows[-1:]] * 3])
    found = InputStatistics(12, stack=4).eval()(torch.from_numpy(stack_windows(windows, 4))[None], torch.tensor([2]))
    wanted = np.concatenate([filled.mean(0), filled.std(0), np.diff(filled, axis=0).std(0)])
    np.testing.assert_allclose(found[0].numpy(), wanted, atol=2e-3)


def test_standardised_over_all_that_was_seen_in_training():
    generator = torch.Generator().manual_seed(4)
    seen = 3 * torch.randn(50, 4, generator=generator) + torch.tensor([5.0, -1, 0, 100])
    layer = Standardise(4)
    for batch in (seen[:1], seen[1:30], seen[30:]):  # one utterance alone, too
        assert layer(batch).isfinite().all()
    before = layer.eval()(seen)
    torch.testing.assert_close(before.mean(dim=0), torch.zeros(4), atol=1e-3, rtol=0)
    torch.testing.assert_close(before.std(dim=0, correction=0), torch.ones(4), atol=1e-3, rtol=0)
    layer(seen + 7)
    torch.testing.assert_close(layer(seen), before)  # in evaluation nothing is learned


def test_noise_is_heard_in_training_by_the_lstm_alone(batch):
    x, lengths = batch
    heard = []
    encoder = Encoder(6, ModelSettings(**SMALL), noise=0.5, statistics=InputStatistics(6, stack=1)).double()
    for part in (encoder.recurrent, encoder.statistics):
        part.register_forward_pre_hook(lambda _, inputs: heard.append(inputs[0]))
    encoder(x, lengths)
    assert 0.4 < (heard[0] - x).std() < 0.6 and torch.equal(heard[1], x)
    encoder.eval()(x, lengths)
    assert torch.equal(heard[2], x)


def test_last_is_the_last_processed_state_of_each_direction(batch):
    x, lengths = batch
    layer = BiLSTM(6, 4).double().eval()
    outputs, last = layer(x, lengths)
    for row, length in enumerate(lengths):
        if length:
            torch.testing.assert_close(last[row, :4], outputs[row, length - 1, :4])
            torch.testing.assert_close(last[row, 4:], outputs[row, 0, 4:])
        else:
            assert not last[row].any() and not outputs[row].any()


def test_reverse_within_is_its_own_inverse(batch):
    x, lengths = batch
    turned = reverse_within(x, lengths)
    assert torch.equal(turned[0, 0], x[0, 8]) and torch.equal(turned[3, 4], x[3, 0])
    assert torch.equal(reverse_within(turned, lengths), x)
