"""Batches, networks and the training loop on made-up utterances."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from emotion.data.examples import Examples
from emotion.models import trainer
from emotion.models.batches import batch_rows, collate, stack_windows
from emotion.models.networks import CrossAttention, build
from emotion.models.trainer import fit, learning_rate, predict_proba
from emotion.settings import EmotionSettings, ModelSettings, TrainingSettings, classifier_settings
from speech2vec.runtime.errors import UserError

MODELS = ("acoustic", "embedding", "dual")
SMALL = {"hidden_size": 16, "dense_size": 16}


def made_up(n, seed=0, n_features=5, vectors=False):
    rng = np.random.default_rng(seed)
    features = [rng.standard_normal((int(k), n_features)).astype(np.float32) for k in rng.integers(3, 12, n)]
    words = [rng.integers(1, 9, int(k)) for k in rng.integers(1, 6, n)]
    if vectors:
        words = [rng.standard_normal((len(row), 7)).astype(np.float32) for row in words]
    speakers = np.array([f"s{i % 3}" for i in range(n)], dtype=object)
    return Examples(labels=np.arange(n) % 4, speakers=speakers, frames=features, vectors=words)


def model_of(name, options, seed=0, vectors=True):
    torch.manual_seed(seed)
    table = torch.randn(9, 7) if vectors else None
    return build(name, options, 4, 5, vector_size=7, vectors=table)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("padding", ["packed", "zeros"])
def test_overfits_eight_utterances(name, padding):
    lengths = {"max_windows": 20, "max_words": 8, "padding": padding}
    chosen = EmotionSettings(
        model=ModelSettings(**SMALL, **lengths, recurrent_dropout=0.1, dropout=0.1),
        training={"epochs": 60, "batch_size": 4, "learning_rate": 0.01, "selection": "last"},
    )
    examples, model = made_up(8), model_of(name, chosen.model)
    fitted = fit(model, examples, None, chosen, seed=0)
    assert fitted.epoch == 60 and fitted.history[-1]["train_loss"] < 0.3 * fitted.history[0]["train_loss"]
    assert (predict_proba(model, examples, chosen).argmax(axis=1) == examples.labels).all()


def test_published_sizes():
    """The dual encoder of the paper: 256 of each encoder, 512 joined, 256, 4 classes."""
    model = build("dual", classifier_settings("paper").model, 4, 34, vector_size=50, vectors=torch.zeros(100, 50))
    shapes = {name: tuple(value.shape) for name, value in model.named_parameters()}
    assert shapes["acoustic.recurrent.lstm.weight_ih_l0"] == (512, 34)
    assert shapes["acoustic.recurrent.lstm.weight_hh_l0_reverse"] == (512, 128)
    assert shapes["acoustic.dense.0.weight"] == shapes["embedding.dense.0.weight"] == (256, 256)
    assert shapes["words.table.weight"] == (100, 50)
    assert shapes["fusion.0.weight"] == (256, 512) and shapes["output.weight"] == (4, 256)
    embedding = build("embedding", ModelSettings(), 4, 34, vector_size=50, vectors=torch.zeros(100, 50))
    dense = [tuple(m.weight.shape) for m in embedding.modules() if isinstance(m, torch.nn.Linear)]
    assert dense == [(256, 256), (256, 256), (4, 256)]


def test_paper_processes_the_zeros_after_a_sequence():
    examples = made_up(3)
    paper, packed = classifier_settings("paper").model, ModelSettings()
    batch = collate(examples, paper)
    assert batch.features.shape == (3, 200, 5) and batch.words.shape == (3, 128)
    assert batch.n_windows.tolist() == [200] * 3 and batch.n_words.tolist() == [128] * 3
    n = len(examples.frames[0])
    assert batch.features[0, :n].any() and not batch.features[0, n:].any() and not batch.words[0, 20:].any()
    batch = collate(examples, packed)
    assert batch.n_windows.tolist() == [len(segment) for segment in examples.frames]
    assert batch.features.shape[1] == max(len(segment) for segment in examples.frames)


def test_padding_vector_stays_zero():
    chosen = EmotionSettings(model=ModelSettings(**SMALL), training={"epochs": 2})
    model = model_of("embedding", chosen.model)
    before = model.words.table.weight.detach().clone()
    fit(model, made_up(8), None, chosen, seed=0)
    after = model.words.table.weight.detach()
    assert not after[0].any() and not torch.equal(before[1:], after[1:])


def test_vectors_of_each_word_pass_through():
    chosen = EmotionSettings(model=ModelSettings(**SMALL), training={"epochs": 1})
    model = model_of("dual", chosen.model, vectors=False)
    examples = made_up(6, vectors=True)
    fit(model, examples, None, chosen, seed=0)
    assert predict_proba(model, examples, chosen).shape == (6, 4)


def test_words_find_the_frame_that_answers_them():
    """Cross-modal attention gives the value of the step whose key fits, and nothing of an empty sequence."""
    attention = CrossAttention(2)
    with torch.no_grad():
        for layer, scale in ((attention.query, 60.0), (attention.key, 1.0), (attention.value, 1.0)):
            layer.weight.copy_(scale * torch.eye(2))
    asked = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [9.0, 9.0]]] * 2)  # the third is padding
    asking = torch.tensor([[[0.0, 1.0], [5.0, 5.0]]] * 2)
    found = attention(asking, torch.tensor([1, 0]), asked, torch.tensor([2, 2]))
    torch.testing.assert_close(found, torch.tensor([[0.0, 1.0], [0.0, 0.0]]))
    nothing = attention(asking, torch.tensor([1, 1]), torch.zeros(2, 1, 2), torch.tensor([0, 0]))
    assert not nothing.any()


@pytest.mark.parametrize("name", [*MODELS, "dual with attention"])
def test_batches_do_not_change_predictions(name):
    """Empty texts included: alone or among others, an utterance gets the same probabilities."""
    name, _, fusion = name.partition(" with ")
    more = {"pooling": "attention", "stack": 2, "fusion": fusion or "concatenation"}
    chosen = EmotionSettings(model=ModelSettings(**SMALL, **more))
    examples = made_up(7)
    examples.vectors[3] = np.zeros(0, dtype=np.int64)
    model = model_of(name, chosen.model)
    together = predict_proba(model, examples, chosen)
    alone = [predict_proba(model, examples.part(np.array([i])), chosen)[0] for i in range(7)]
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_same_seed_gives_the_same_weights():
    chosen = EmotionSettings(model=ModelSettings(**SMALL), training={"epochs": 2})
    states = []
    for _ in range(2):
        model = model_of("dual", chosen.model)
        fit(model, made_up(9), made_up(4, seed=1), chosen, seed=5)
        states.append(model.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_the_epoch_with_the_best_development_recall_is_kept():
    """On classes of unlike size, so that it is not the one with the most right answers."""
    chosen = EmotionSettings(model=ModelSettings(**SMALL), training={"epochs": 6, "learning_rate": 0.02})
    model, development = model_of("acoustic", chosen.model), made_up(60, seed=2)
    development = development.part(np.flatnonzero((development.labels == 0) | (np.arange(60) < 16)))
    fitted = fit(model, made_up(12), development, chosen, seed=0)
    best = max(fitted.history, key=lambda row: (row["dev_UA"], -row["dev_loss"]))
    assert best["dev_WA"] < max(row["dev_WA"] for row in fitted.history)
    assert fitted.epoch == best["epoch"]
    right = predict_proba(model, development, chosen).argmax(axis=1) == development.labels
    assert right.mean() == pytest.approx(best["dev_WA"])


def test_the_model_holds_the_weights_of_the_epoch_that_was_chosen():
    training = {"epochs": 6, "learning_rate": 0.1, "selection": "loss"}
    chosen = EmotionSettings(model=ModelSettings(**SMALL), training=training)
    model, development = model_of("acoustic", chosen.model), made_up(12, seed=1)
    fitted = fit(model, made_up(12), development, chosen, seed=0)
    losses = [row["dev_loss"] for row in fitted.history]
    assert fitted.epoch == 1 + np.argmin(losses) < 6
    true = predict_proba(model, development, chosen)[np.arange(12), development.labels]
    assert float(-np.log(true).mean()) == min(losses)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_the_learning_rate_follows_its_schedule(schedule):
    training, done = TrainingSettings(learning_rate=0.01, schedule=schedule), np.arange(10) / 9
    wanted = 0.005 * (1 + np.cos(np.pi * done)) if schedule == "cosine" else [0.01] * 10
    np.testing.assert_allclose([learning_rate(training, share) for share in done], wanted, rtol=1e-6)


def test_each_step_takes_the_learning_rate_of_its_share_of_all_steps(monkeypatch):
    """With rates of zero from the fourth step on, later epochs change nothing."""
    asked = []

    def for_one_epoch(training, done):
        asked.append(done)
        return training.learning_rate if len(asked) <= 3 else 0.0

    monkeypatch.setattr(trainer, "learning_rate", for_one_epoch)
    states = []
    for epochs in (1, 3):
        training = {"epochs": epochs, "batch_size": 4, "selection": "last"}
        chosen = EmotionSettings(model=ModelSettings(**SMALL), training=training)
        model = model_of("acoustic", chosen.model)
        before = model.output.weight.detach().clone()
        fit(model, made_up(12), None, chosen, seed=0)
        np.testing.assert_allclose(asked, np.arange(3 * epochs) / (3 * epochs))
        assert not torch.equal(model.output.weight, before)
        states.append(model.state_dict())
        asked.clear()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_each_epoch_has_batches_of_its_own(monkeypatch):
    epochs = []

    def recorded(*arguments):
        epochs.append([rows.tolist() for rows in batch_rows(*arguments)])
        return [np.array(rows) for rows in epochs[-1]]

    monkeypatch.setattr(trainer, "batch_rows", recorded)
    chosen = EmotionSettings(model=ModelSettings(**SMALL), training={"epochs": 2, "batch_size": 4})
    examples = made_up(100)
    for _ in range(2):
        fit(model_of("acoustic", chosen.model), examples, None, chosen, seed=0)
    first, second = epochs[:2]
    assert first != second and epochs[2:] == [first, second]


def test_the_loss_of_an_epoch_is_the_mean_over_its_utterances():
    """Nothing is learned and nothing dropped; the last batch is a small one."""
    model_settings = ModelSettings(**SMALL, dropout=0, recurrent_dropout=0)
    chosen = EmotionSettings(model=model_settings, training={"epochs": 1, "batch_size": 4, "learning_rate": 1e-12})
    model, examples = model_of("acoustic", chosen.model), made_up(9)
    true = predict_proba(model, examples, chosen)[np.arange(9), examples.labels]
    (row,) = fit(model, examples, None, chosen, seed=0).history
    assert row["train_loss"] == pytest.approx(-np.log(true).mean(), rel=1e-5)


def test_weighted_classes_count_the_same():
    training = TrainingSettings(class_weights=True)
    for labels, weights in (([0, 0, 0, 1], [2 / 3, 2]), ([0, 0, 0, 2], [2 / 3, 0, 2]), ([1, 0], [1, 1])):
        found = trainer._class_weights(np.array(labels), training, "cpu")
        np.testing.assert_allclose(found, weights, rtol=1e-6)
        np.testing.assert_allclose(found[labels].mean(), 1, rtol=1e-6)
    assert trainer._class_weights(np.array([0, 1]), TrainingSettings(), "cpu") is None


def test_noise_is_added_to_sound_in_training_only():
    batch = collate(made_up(4), ModelSettings())
    for noise in (0.0, 0.5):
        model = model_of("acoustic", ModelSettings(**SMALL, dropout=0, recurrent_dropout=0, noise=noise))
        first, second = model(*batch.inputs), model(*batch.inputs)
        assert torch.equal(first, second) is (noise == 0)
        model.eval()
        assert torch.equal(model(*batch.inputs), model(*batch.inputs))


def test_a_loss_that_is_no_number_is_said():
    chosen = EmotionSettings(model=ModelSettings(**SMALL), training={"epochs": 1})
    examples = made_up(4)
    examples.frames[0][0, 0] = np.nan
    with pytest.raises(UserError, match="is not finite"):
        fit(model_of("acoustic", chosen.model), examples, None, chosen, seed=0)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 300), min_size=1, max_size=200), st.integers(1, 20), st.integers(0, 5))
def test_each_row_is_in_one_batch(lengths, batch_size, seed):
    batches = batch_rows(np.array(lengths), batch_size, np.random.default_rng(seed))
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    assert max(len(batch) for batch in batches) <= batch_size


def test_batches_hold_like_lengths():
    lengths = np.random.default_rng(0).integers(1, 200, 2000)
    spreads = [np.ptp(lengths[rows]) for rows in batch_rows(lengths, 32, np.random.default_rng(1))]
    assert np.median(spreads) < 30


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 30), st.integers(1, 5))
def test_stacked_windows(n_windows, n):
    segment = np.arange(n_windows * 2, dtype=np.float32).reshape(n_windows, 2)
    stacked = stack_windows(segment, n)
    assert stacked.shape == (-(-n_windows // n), 2 * n)
    np.testing.assert_array_equal(stacked.reshape(-1, 2)[:n_windows], segment)
    assert (stacked.reshape(-1, 2)[n_windows:] == segment[-1]).all()
