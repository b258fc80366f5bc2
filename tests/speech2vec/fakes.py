"""Small stores of made-up speech (each word has its own shape in time, each speaker an offset), random vectors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from speech2vec.features.mfcc import MfccSettings
from speech2vec.features.store import STORE_SCHEMA, Store, write_store
from speech2vec.model.adaptation import AdaptationSettings, SpeakerAdaptation
from speech2vec.model.clusters import Clusters, MembershipSettings
from speech2vec.model.convolutional import Convolutional, ConvolutionalSettings
from speech2vec.model.resampled import Resampled, ResampledSettings
from speech2vec.model.settings import ModelSettings
from speech2vec.model.speech2vec import seeded_model
from speech2vec.model.word_encoder import WordEncoder
from speech2vec.runtime.seeds import generator
from speech2vec.training.presets import TrainSettings
from speech2vec.training.run import Run
from speech2vec.vectors.word_vectors import WordVectors

WORDS = ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel")


def made_up_store(
    path: Path, speakers: int = 5, utterances: int = 8, words: int = 6, n_mfcc: int = 5, seed: int = 0
) -> Store:
    """A store in which each word says which one follows, so that there is something to learn."""
    draw = np.random.default_rng(seed)
    shapes = draw.normal(size=(len(WORDS), 14, n_mfcc)).cumsum(axis=1) / 2
    rows: dict[str, list[object]] = {name: [] for name in STORE_SCHEMA.names}
    frames: list[np.ndarray] = []
    total = 0
    for speaker in range(speakers):
        offset = draw.normal(size=n_mfcc) / 3
        for utterance in range(utterances):
            word, time = int(draw.integers(len(WORDS))), 0.0
            for _ in range(words):
                n = int(draw.integers(6, 15))
                frames.append(shapes[word, :n] + offset + draw.normal(size=(n, n_mfcc)) / 10)
                values = (f"s{speaker}-{utterance}", f"s{speaker}", WORDS[word], time, time + n / 100, None, total, n)
                for name, value in zip(STORE_SCHEMA.names, values, strict=True):
                    rows[name].append(value)
                total, time = total + n, time + n / 100
                word = (word + 1) % len(WORDS)
    settings = MfccSettings(n_mfcc=n_mfcc).model_dump(mode="json")
    write_store(path, pa.table(rows, schema=STORE_SCHEMA), [np.concatenate(frames)], n_mfcc, settings)
    return Store.open(path)


def drawn(*shape: int) -> np.ndarray:
    """Normal numbers, always the same."""
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def made_up_encoders(n: int) -> dict[str, WordEncoder]:
    """Encoders of frames of n numbers, of every kind, that have learned nothing."""
    one, moment = np.ones(n, dtype=np.float32), np.eye(n + 1, dtype=np.float32)
    adaptation = SpeakerAdaptation(AdaptationSettings(rounds=2), one, drawn(3, n), 2 * one, moment)
    size = 4 * n + 1
    plain = ResampledSettings(points=4, adaptation=AdaptationSettings(rounds=0))
    adapted = plain.model_copy(update={"adaptation": adaptation.settings})
    resampled = Resampled(adapted, drawn(size), drawn(size, 3), adaptation)
    convolutional = ConvolutionalSettings(
        points=4, channels=2, hidden=3, network_size=2, adaptation=adaptation.settings
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Convolutional(convolutional, n, 2, adaptation).eval()
    parts = drawn(3, 2), drawn(2, 2), drawn(7, 2), 0.5, drawn(7, 4)
    published = ModelSettings(vector_size=8, engine="steps")
    attends = published.model_copy(update={"cell": "gru", "decoder": "attention", "teacher_forcing": True})
    return {
        "published": seeded_model(n, published, 0).eval(),
        "published-attention": seeded_model(n, attends, 0).eval(),
        "resampled": resampled,
        "resampled-plain": Resampled(plain, drawn(size), drawn(size, 3)),
        "convolutional": network,
        "clusters": Clusters(MembershipSettings(nearest=2), resampled, *parts),
    }


def untrained_run(store: Store, settings: TrainSettings) -> Run:
    """A run on a store, as it is loaded, at its first weights."""
    model = seeded_model(store.n_mfcc, settings.model, settings.seed).eval()
    return Run(store.path.parent / "run", model, settings, store, {})


def random_vectors(words: Sequence[str], vector_size: int, seed: int = 0) -> WordVectors:
    """Independent normal vectors, which know nothing."""
    drawn = generator(seed).standard_normal((len(words), vector_size), dtype=np.float32)
    return WordVectors(list(words), drawn)
