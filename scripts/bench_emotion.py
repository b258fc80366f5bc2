"""Time the dual encoder's training on a stand-in of IEMOCAP's size and length distribution, beside torch's own LSTM.

    python -m scripts.bench_emotion --epochs 1

Durations are log-normal about IEMOCAP's median of 3.58 s (mean 4.55 s), words about its median of 8 (mean 11.6). The
numbers in them are random: this measures speed and nothing else.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from emotion.inputs import Examples
from emotion.models import build
from emotion.settings import settings_of_preset
from emotion.trainer import fit
from speech2vec.runs import generator


def stand_in(n_utterances: int, n_features: int = 34, n_words: int = 2885) -> Examples:
    """Random features and words with IEMOCAP's lengths at a hop of 0.1 s."""
    rng = generator(0)
    seconds = np.clip(np.exp(rng.normal(np.log(3.58), 0.69, n_utterances)), 0.585, 34.14)
    words = np.clip(np.exp(rng.normal(np.log(8), 0.87, n_utterances)), 0, 98).astype(int)
    features = [rng.standard_normal((int(10 * s), n_features), dtype=np.float32) for s in seconds]
    return Examples(features, [rng.integers(2, n_words, n) for n in words], rng.integers(0, 4, n_utterances))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--utterances", type=int, default=5531)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--preset", default="default")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    examples = stand_in(arguments.utterances)
    for title, dropout in (("recurrent dropout 0.2", 0.2), ("torch's LSTM, none", 0.0)):
        changes = [f"training.epochs={arguments.epochs}", f"model.recurrent_dropout={dropout}"]
        settings = settings_of_preset(arguments.preset, None, changes)
        model = build("dual", settings.model, 4, 34, 50, torch.randn(2887, 50))
        started = time.monotonic()
        fit(model, examples, None, settings, seed=0)
        seconds = (time.monotonic() - started) / arguments.epochs
        print(f"{title}: {seconds:.1f} s an epoch, {20 * seconds / 60:.1f} min for 20, {arguments.threads} thread(s)")


if __name__ == "__main__":
    main()
