"""The training loop: cross-entropy, AdamW, and the epoch selected on development data or the last one."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from emotion.data.examples import Examples
from emotion.metrics import balancing_weights, confusion_matrix, measures
from emotion.models.batches import batch_rows, by_length, collate, sequences
from emotion.settings import EmotionSettings, TrainingSettings
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.seeds import generator

EVALUATION_BATCH = 128


@dataclass(frozen=True)
class Trained:
    """The outcome of training.

    Parameters
    ----------
    epoch : int
        The selected epoch, from 1; the model has its weights.
    history : list of dict
        Per epoch: losses, development UA and WA, gradient norm, seconds.
    """

    epoch: int
    history: list[dict[str, Any]]


def fit(
    model: nn.Module,
    train: Examples,
    development: Examples | None,
    settings: EmotionSettings,
    *,
    seed: int,
    device: torch.device | str = "cpu",
    on_epoch: Callable[[dict[str, Any]], None] | None = None,
) -> Trained:
    """Train `model` in place; afterwards it is in evaluation mode with the weights of the selected epoch.

    Parameters
    ----------
    model : nn.Module
    train : Examples
    development : Examples or None
        Data for selecting the epoch; None selects the last one.
    settings : EmotionSettings
    seed : int
        Seed of the order of batches and of dropout.
    device : torch.device
    on_epoch : callable
        Called with the metrics of each epoch.

    Raises
    ------
    UserError
        A loss is not finite.
    """
    training = settings.training
    torch.manual_seed(seed)
    model.to(device)
    # Padded to one length there is nothing to gain from batches of like lengths: they are random, as published.
    random = settings.model.padding == "zeros"
    lengths = np.array([0 if random else len(a) + len(b) for a, b in zip(*sequences(train), strict=True)])
    steps_per_epoch = math.ceil(len(train) / training.batch_size)
    n_steps = training.epochs * steps_per_epoch
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=training.learning_rate, weight_decay=training.weight_decay)
    loss_function = nn.CrossEntropyLoss(weight=_class_weights(train.labels, training, device))
    history: list[dict[str, Any]] = []
    best: tuple[float, int, dict[str, Tensor]] | None = None
    for epoch in range(1, training.epochs + 1):
        started = time.monotonic()
        model.train()
        loss_sum, norm_sum = 0.0, 0.0
        batches = batch_rows(lengths, training.batch_size, generator(seed, 1, epoch))
        for step, rows in enumerate(batches, start=(epoch - 1) * steps_per_epoch):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(training, step / n_steps)
            batch = collate(train.part(rows), settings.model, device)
            loss = loss_function(model(*batch.inputs), batch.labels)
            optimiser.zero_grad()
            loss.backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), training.max_gradient_norm or math.inf)
            optimiser.step()
            loss_sum += loss.item() * len(rows)
            norm_sum += norm.item()
        row: dict[str, Any] = {
            "epoch": epoch,
            "train_loss": loss_sum / len(train),
            "gradient_norm": norm_sum / steps_per_epoch,
        }
        if not math.isfinite(row["train_loss"]):
            raise UserError(f"the loss of epoch {epoch} is not finite: try a smaller training.learning_rate")
        if development is not None:
            row |= _development_row(model, development, settings, device)
        row["seconds"] = time.monotonic() - started
        history.append(row)
        if on_epoch:
            on_epoch(row)
        score = _selection_score(row, training)
        if best is None or score > best[0]:
            best = (score, epoch, {name: value.detach().clone() for name, value in model.state_dict().items()})
    assert best is not None  # epochs > 0
    model.load_state_dict(best[2])
    model.eval()
    return Trained(best[1], history)


def learning_rate(training: TrainingSettings, done: float) -> float:
    """The learning rate after a fraction `done` of all steps: constant, or a half cosine down to zero."""
    if training.schedule == "constant":
        return training.learning_rate
    return training.learning_rate * (0.5 * (1 + math.cos(math.pi * min(done, 1.0))))


def _class_weights(labels: np.ndarray, training: TrainingSettings, device: torch.device | str) -> Tensor | None:
    if not training.class_weights:
        return None
    return torch.tensor(balancing_weights(labels), dtype=torch.float32, device=device)


def _development_row(
    model: nn.Module, development: Examples, settings: EmotionSettings, device: torch.device | str
) -> dict[str, float]:
    probabilities = predict_proba(model, development, settings, device)
    n_classes = probabilities.shape[1]
    scores = measures(confusion_matrix(development.labels, probabilities.argmax(axis=1), n_classes))
    true = probabilities[np.arange(len(development)), development.labels]
    return {
        "dev_loss": float(-np.log(np.maximum(true, 1e-12)).mean()),
        "dev_UA": float(scores["UA"]),
        "dev_WA": float(scores["WA"]),
    }


def _selection_score(row: dict[str, Any], training: TrainingSettings) -> float:
    if training.selection == "last" or "dev_loss" not in row:
        return float(row["epoch"])
    if training.selection == "recall":
        return row["dev_UA"] - 1e-6 * row["dev_loss"]  # ties: the lower loss
    return -row["dev_loss"]


@torch.inference_mode()
def predict_proba(
    model: nn.Module, examples: Examples, settings: EmotionSettings, device: torch.device | str = "cpu"
) -> np.ndarray:
    """Class probabilities of each utterance [shape=(n_utterances, n_classes)], float32, in the given order."""
    model.eval()
    rows_of: list[np.ndarray] = []
    found: list[np.ndarray] = []
    for rows in by_length(examples, EVALUATION_BATCH):
        batch = collate(examples.part(rows), settings.model, device)
        rows_of.append(rows)
        found.append(model(*batch.inputs).float().softmax(dim=1).cpu().numpy())
    order = np.concatenate(rows_of)
    result = np.empty((len(order), found[0].shape[1]), dtype=np.float32)
    result[order] = np.concatenate(found)
    return result
