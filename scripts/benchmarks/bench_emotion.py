"""Speed of training the dual encoder, beside torch's own LSTM in its place, on data of IEMOCAP's size and lengths.

    python -m scripts.benchmarks.bench_emotion --epochs 2
    python -m scripts.benchmarks.bench_emotion --epochs 2 --preset paper

Features and words are random: this measures speed and nothing else. Durations are log-normal about IEMOCAP's median of
3.58 s (mean 4.55 s), numbers of words about its median of 8 (mean 11.6); windows and features are those of
`speech2vec-emotion prepare` with the same preset. The preset `paper` pads to 200 windows and 128 words; `--set
model.padding=packed` does not.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from emotion.data.examples import Examples
from emotion.data.prepare import prepare_settings
from emotion.features.settings import FeatureSettings
from emotion.models.batches import sequences
from emotion.models.networks import build
from emotion.models.trainer import fit
from emotion.settings import classifier_settings
from speech2vec.runtime.seeds import generator

UTTERANCES, WORD_TYPES, VECTOR_SIZE = 5531, 2885, 50
# torch's LSTM has no recurrent dropout.
RECURRENT_DROPOUT = {"recurrent dropout 0.2": 0.2, "torch's LSTM, no recurrent dropout": 0.0}


def iemocap_like(n_utterances: int, features: FeatureSettings) -> Examples:
    """Random features and words with the lengths of IEMOCAP's utterances."""
    rng = generator(0)
    seconds = np.clip(np.exp(rng.normal(np.log(3.58), 0.69, n_utterances)), 0.585, 34.14)
    words = np.clip(np.exp(rng.normal(np.log(8), 0.87, n_utterances)), 0, 98).astype(int)
    n_windows = ((seconds - features.window) / features.hop).astype(int) + 1
    sounds = [rng.standard_normal((n, len(features.names)), dtype=np.float32) for n in n_windows]
    vectors = [rng.integers(2, WORD_TYPES + 2, n) for n in words]
    labels, speakers = rng.integers(0, 4, n_utterances), np.full(n_utterances, "", dtype=object)
    return Examples(labels=labels, speakers=speakers, frames=sounds, vectors=vectors)


def epoch_seconds(
    examples: Examples,
    epochs: int,
    recurrent_dropout: float,
    preset: str = "default",
    changes: Sequence[str] = (),
    device: torch.device = torch.device("cpu"),
) -> list[float]:
    """Train the dual encoder; return the seconds of each epoch by the clock."""
    given = [f"training.epochs={epochs}", *changes, f"model.recurrent_dropout={recurrent_dropout}"]
    settings = classifier_settings(preset, None, given)
    vectors, n_features = torch.randn(WORD_TYPES + 2, VECTOR_SIZE), sequences(examples)[0][0].shape[1]
    model = build("dual", settings.model, 4, n_features, vector_size=VECTOR_SIZE, vectors=vectors)
    taken: list[float] = []

    def note(epoch: dict[str, Any]) -> None:
        taken.append(epoch["seconds"])

    fit(model, examples, None, settings, seed=0, device=device, on_epoch=note)
    return taken


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--utterances", type=int, default=UTTERANCES)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--preset", default="default")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="as in speech2vec-emotion train"
    )
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    features = prepare_settings(given.preset).features
    examples = iemocap_like(given.utterances, features)
    n_windows, n_words = (sum(map(len, both)) for both in sequences(examples))
    print(
        f"{len(examples):,} utterances, {n_windows:,} windows of {len(features.names)} features, {n_words:,} words; "
        f"preset {given.preset}; {given.threads} thread(s), {os.cpu_count()} cores, "
        f"load before {os.getloadavg()[0]:.1f}"
    )
    for title, recurrent_dropout in RECURRENT_DROPOUT.items():
        started = time.process_time()
        seconds = float(np.mean(epoch_seconds(examples, given.epochs, recurrent_dropout, given.preset, given.set)))
        processor = (time.process_time() - started) / given.epochs
        print(
            f"{title}: {seconds:.1f} s an epoch ({processor:.1f} s of processor time), {20 * seconds / 60:.1f} min "
            f"for 20; load after {os.getloadavg()[0]:.1f}"
        )


if __name__ == "__main__":
    main()
