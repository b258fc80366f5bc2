"""Part 5 of `gpu_check`: an epoch of the emotion recogniser's dual model, beside torch's own LSTM in its place.

Its own recurrence masks the state from step to step (`recurrent_dropout`), which torch's LSTM cannot.
"""

from __future__ import annotations

from typing import Any

import torch

from emotion.data.prepare import prepare_settings
from emotion.models.classifiers import build
from emotion.settings import classifier_settings
from emotion.training.trainer import fit
from scripts.benchmarks.bench_emotion import N_WORDS, VECTOR_SIZE, stand_in
from scripts.gpu.results import Results, Row

UTTERANCES, FIRST = 5531, 320  # IEMOCAP's; those of a first epoch, which tells how many fit into the time


SIDES = {"torch's LSTM, no recurrent dropout": 0.0, "its own recurrence, recurrent dropout 0.2": 0.2}


def seconds_of_epochs(n_utterances: int, epochs: int, dropout: float, device: torch.device) -> list[float]:
    """Of training the default preset on random features of IEMOCAP's lengths."""
    features = prepare_settings("default").features
    changes = [f"training.epochs={epochs}", f"model.recurrent_dropout={dropout}"]
    settings = classifier_settings("default", None, changes)
    torch.manual_seed(0)
    vectors = torch.randn(N_WORDS + 2, VECTOR_SIZE)
    model = build("dual", settings.model, 4, len(features.names), vector_size=VECTOR_SIZE, vectors=vectors)
    taken: list[float] = []

    def note(epoch: dict[str, Any]) -> None:
        taken.append(epoch["seconds"])

    fit(model, stand_in(n_utterances, features), None, settings, seed=0, device=device, on_epoch=note)
    return taken


def measure(results: Results, device: torch.device, n_utterances: int = UTTERANCES) -> None:
    """An epoch of each; on fewer utterances where a whole one does not fit."""
    for place, (title, dropout) in enumerate(SIDES.items()):
        seconds = results.left / (len(SIDES) - place)

        def run(dropout: float = dropout, seconds: float = seconds) -> Row:
            few = min(FIRST, n_utterances)
            first, second = seconds_of_epochs(few, 2, dropout, device)
            fitting = int(0.6 * (seconds - first - second) / second * few)
            n = max(few, min(n_utterances, fitting))
            (epoch,) = seconds_of_epochs(n, 1, dropout, device)
            whole = epoch * UTTERANCES / n
            return {"utterances": n, "s an epoch": epoch, f"s for {UTTERANCES}": whole, "first epoch, s": first}

        results.attempt("an epoch of the dual model", {"layer": title}, run)
