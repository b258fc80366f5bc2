"""The comparison is fair: the per-pair scheme has the same loss with the same model, on words of the same lengths."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from scripts.benchmarks.bench_training import OURS, compare, main, with_attention
from scripts.benchmarks.librispeech_like import librispeech_like
from scripts.benchmarks.per_pair_scheme import PerPairScheme, padded, update, with_weights_of
from scripts.benchmarks.training_steps import epoch_seconds, operations, sampler_of_training
from speech2vec.features.store import Store
from speech2vec.model.encoder import Segments
from speech2vec.model.encoding import segments_of
from speech2vec.model.settings import ModelSettings
from speech2vec.model.speech2vec import seeded_model
from speech2vec.runtime.errors import UserError
from speech2vec.training.batches import DeviceBatch
from speech2vec.training.presets import OptimiserSettings, TrainSettings
from speech2vec.training.sampler import neighbour_pairs


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return librispeech_like(tmp_path_factory.mktemp("bench") / "store", n_utterances=60, n_mfcc=5)


@pytest.mark.parametrize("attention", [False, True])
def test_the_per_pair_scheme_has_the_loss_and_the_gradients_of_our_model(store: Store, attention: bool) -> None:
    rows = np.arange(40)
    centre, context = neighbour_pairs(store.utterance[rows], window=3)
    settings = ModelSettings(vector_size=8, teacher_forcing=True)
    model = seeded_model(5, with_attention(settings) if attention else settings, 3).double()
    words = segments_of(store, rows)
    ours = model(
        Segments(words.frames.double(), words.first, words.lengths),
        torch.from_numpy(centre),
        torch.from_numpy(context),
    ).squared_error()
    ours.backward()

    plain = with_weights_of(model)
    (frames, n_frames), (targets, n_targets) = padded(store, rows[centre]), padded(store, rows[context])
    theirs = plain(frames.double(), n_frames, targets.double(), n_targets)
    theirs.backward()

    torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-8)
    ours_output, theirs_output = model.decoder.output.weight.grad, plain.output.weight.grad
    torch.testing.assert_close(theirs_output, ours_output, rtol=0, atol=1e-8)
    ours_input = dict(model.named_parameters())["encoder.directions.1.input"].grad
    theirs_input = dict(plain.named_parameters())["encoder.weight_ih_l0_reverse"].grad
    assert ours_input is not None and theirs_input is not None
    torch.testing.assert_close(theirs_input[:4].t(), ours_input[:, :4], rtol=0, atol=1e-8)  # the input gate


@pytest.mark.parametrize("attention", [False, True])
def test_padding_changes_no_loss(store: Store, attention: bool) -> None:
    torch.manual_seed(0)
    plain = PerPairScheme(5, 8, attention).double()
    rows = np.arange(12)

    def loss(centre: np.ndarray, context: np.ndarray) -> Tensor:
        (frames, n_frames), (targets, n_targets) = padded(store, centre), padded(store, context)
        error: Tensor = plain(frames.double(), n_frames, targets.double(), n_targets)
        return error

    together = loss(rows[:-1], rows[1:])
    alone = sum(loss(rows[i : i + 1], rows[i + 1 : i + 2]) for i in range(11))
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-8)


def test_generated_words_are_as_long_as_librispeechs(store: Store) -> None:
    n = store.n_frames
    assert store.synthetic and abs(float(store.frames.std()) - 1) < 0.05 and store.frames[-1].any()
    assert 33 < n.mean() < 38 and 32 < np.bincount(store.utterance).mean() < 38
    # Shares of the mean, of the words of LibriSpeech's dev-clean.
    for percentile, share in ((10, 0.30), (50, 0.87), (90, 1.9)):
        assert abs(np.percentile(n, percentile) / n.mean() - share) < 0.1


def batch_of(n_frames: int, n_rows: int) -> DeviceBatch:
    """A batch without pairs."""
    none = torch.zeros(0, dtype=torch.int64)
    return DeviceBatch(Segments(torch.zeros(n_frames, 5), none, none, total=n_frames), none, none, n_rows)


def test_operations_are_those_that_torch_counts() -> None:
    """Of the decoder: recurrent and output weights. Of the encoder: products with frames, and recurrent ones."""
    F, D, n = 5, 8, 7
    frames, state = torch.randn(n, F), torch.randn(n, D, requires_grad=True)
    weights = torch.randn(D, 4 * D, requires_grad=True), torch.randn(D, F, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        ((state @ weights[0]).sum() + (state @ weights[1]).sum()).backward()
    decoder = operations(batch_of(0, n), F, ModelSettings(vector_size=D))
    assert counter.get_total_flops() == decoder
    directions = [torch.randn(F, 2 * D, requires_grad=True), torch.randn(D // 2, 2 * D, requires_grad=True)]
    half = torch.randn(n, D // 2, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        ((frames @ directions[0]).sum() + (half @ directions[1]).sum()).backward()
    assert 2 * counter.get_total_flops() == operations(batch_of(n, 0), F, ModelSettings(vector_size=D))


def test_a_loss_that_is_not_finite_stops_it() -> None:
    layer = torch.nn.Linear(2, 1)
    with pytest.raises(UserError, match="normalised"):
        update(layer, torch.optim.Adam(layer.parameters()), layer(torch.full((1, 2), torch.nan)).sum(), 1.0)


def test_all_sides_are_measured_and_the_last_line_is_the_ratio(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    compare(store, n_rounds=1, batch_size=200, vector_size=8)
    *rows, ratio = capsys.readouterr().out.splitlines()
    assert sum("pairs/s" in row for row in rows) == 4
    (number,) = re.findall(r"^ratio: (\d+\.\d)$", ratio)
    assert float(number) > 0
    compare(store, n_rounds=1, batch_size=200, vector_size=8, with_variants=True, only=["GRU"])
    rows = capsys.readouterr().out.splitlines()
    assert [row.partition(":")[0].strip() for row in rows[:2]] == [OURS, "GRU"]


def test_every_epoch_is_timed(store: Store) -> None:
    settings = TrainSettings(optimiser=OptimiserSettings(epochs=3))
    seconds = epoch_seconds(store, settings, torch.device("cpu"))
    assert len(seconds) == 3 and (seconds > 0).all()


def test_pairs_of_an_epoch_are_those_not_held_out(store: Store) -> None:
    n_pairs = sampler_of_training(store, TrainSettings()).n_pairs()
    assert 0.7 < n_pairs / len(neighbour_pairs(store.utterance, 3)[0]) < 0.95


def test_epochs_end_with_the_rate(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(store.path), "--epochs", "2", "--threads", "1", "--set", "model.vector_size=8"])
    lines = capsys.readouterr().out.splitlines()
    assert "(not counted)" in lines[3] and lines[4].startswith("epoch 2:")
    (rate,) = re.findall(r"^pairs a second over epochs 2 to 2, by the clock: ([\d,]+)$", lines[-1])
    assert int(rate.replace(",", "")) > 0


def test_a_folder_that_is_not_a_store_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path), "--epochs", "2"])
    error = capsys.readouterr().err
    assert ended.value.code == 2 and str(tmp_path) in error and len(error.splitlines()) == 1
