"""Part 5 of `gpu_check`: an epoch of the dual emotion classifier, beside torch's own LSTM in its place."""

from __future__ import annotations

import torch

from emotion.data.prepare import prepare_settings
from scripts.benchmarks.bench_emotion import RECURRENT_DROPOUT, UTTERANCES, epoch_seconds, iemocap_like
from scripts.gpu.results import Results, Row

FIRST = 320  # utterances of a first measurement, which tells how many fit into the time


def measure(results: Results, device: torch.device, n_utterances: int = UTTERANCES) -> None:
    """Time an epoch of each layer, on fewer utterances if a whole epoch does not fit into the time."""
    features = prepare_settings("default").features
    for place, (title, recurrent_dropout) in enumerate(RECURRENT_DROPOUT.items()):
        seconds = results.left / (len(RECURRENT_DROPOUT) - place)

        def run(recurrent_dropout: float = recurrent_dropout, seconds: float = seconds) -> Row:
            few = min(FIRST, n_utterances)
            first, second = epoch_seconds(iemocap_like(few, features), 2, recurrent_dropout, device=device)
            n = max(few, min(n_utterances, int(0.6 * (seconds - first - second) / second * few)))
            (epoch,) = epoch_seconds(iemocap_like(n, features), 1, recurrent_dropout, device=device)
            whole = epoch * UTTERANCES / n
            return {"utterances": n, "s an epoch": epoch, f"s for {UTTERANCES}": whole, "first epoch, s": first}

        results.attempt("an epoch of the dual model", {"layer": title}, run)
