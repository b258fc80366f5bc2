"""Time the dual encoder's training on a stand-in of IEMOCAP's size and length distribution, beside torch's own LSTM.

    python -m scripts.benchmarks.bench_emotion --epochs 2
    python -m scripts.benchmarks.bench_emotion --epochs 2 --preset paper

Durations are log-normal about IEMOCAP's median of 3.58 s (mean 4.55 s), words about its median of 8 (mean 11.6);
windows and features are those of `speech2vec-emotion prepare` with the same preset. The numbers in them are random:
this measures speed and nothing else. The preset `paper` pads to 200 windows and 128 words; with `--set
model.padding=packed` it does not.
"""

from __future__ import annotations

import argparse
import os
import time

import numpy as np
import torch

from emotion.data.batches import Examples
from emotion.data.prepare import prepare_settings
from emotion.features.settings import FeatureSettings
from emotion.models.classifiers import build
from emotion.settings import classifier_settings
from emotion.training.trainer import fit
from speech2vec.runtime.seeds import generator

N_WORDS, VECTOR_SIZE = 2885, 50


def stand_in(n_utterances: int, features: FeatureSettings) -> Examples:
    """Random features and words with IEMOCAP's lengths."""
    rng = generator(0)
    seconds = np.clip(np.exp(rng.normal(np.log(3.58), 0.69, n_utterances)), 0.585, 34.14)
    words = np.clip(np.exp(rng.normal(np.log(8), 0.87, n_utterances)), 0, 98).astype(int)
    n_windows = ((seconds - features.window) / features.hop).astype(int) + 1
    sounds = [rng.standard_normal((n, len(features.names)), dtype=np.float32) for n in n_windows]
    return Examples(sounds, [rng.integers(2, N_WORDS + 2, n) for n in words], rng.integers(0, 4, n_utterances))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--utterances", type=int, default=5531)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--preset", default="default")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of 'train'")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    features = prepare_settings(arguments.preset).features
    examples = stand_in(arguments.utterances, features)
    n_windows, n_words = (sum(map(len, sequences)) for sequences in (examples.features, examples.words))
    print(
        f"{len(examples):,} utterances, {n_windows:,} windows of {len(features.names)} features, {n_words:,} words; "
        f"preset {arguments.preset}; {arguments.threads} thread(s), {os.cpu_count()} cores, "
        f"load before {os.getloadavg()[0]:.1f}"
    )
    for title, dropout in (("recurrent dropout 0.2", 0.2), ("torch's LSTM, none", 0.0)):
        changes = [f"training.epochs={arguments.epochs}", *arguments.set, f"model.recurrent_dropout={dropout}"]
        settings = classifier_settings(arguments.preset, None, changes)
        vectors = torch.randn(N_WORDS + 2, VECTOR_SIZE)
        model = build("dual", settings.model, 4, len(features.names), vector_size=VECTOR_SIZE, vectors=vectors)
        started, cpu = time.monotonic(), time.process_time()
        fit(model, examples, None, settings, seed=0)
        seconds = (time.monotonic() - started) / arguments.epochs
        cpu = (time.process_time() - cpu) / arguments.epochs
        print(
            f"{title}: {seconds:.1f} s an epoch ({cpu:.1f} s of the processor), {20 * seconds / 60:.1f} min for 20; "
            f"load after {os.getloadavg()[0]:.1f}"
        )


if __name__ == "__main__":
    main()
