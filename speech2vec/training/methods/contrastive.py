"""Vectors of how words sound, from the words of the training speakers: for speakers and words never heard.

Two views of the adapted, resampled frames (`speech2vec.model.convolutional`). The linear one is a discriminant analysis
between words, closed form. The network is trained so that two speakers' instances of a word are nearest to each other
among all words of the batch (NT-Xent; Chen et al. 2020, "A simple framework for contrastive learning of visual
representations"; for words Jacobs, Matusevych & Kamper 2021, "Acoustic word embeddings for zero-resource languages
using self-supervised contrastive learning and multilingual adaptation").
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
import torch
from pydantic import Field
from torch.nn import functional

from speech2vec.features.rows import runs_of
from speech2vec.features.store import Store
from speech2vec.model.convolutional import Convolutional, ConvolutionalSettings
from speech2vec.model.resampled import ResampledSettings, remove_speaker_means, resample
from speech2vec.model.word_encoder import WordEncoder, Words
from speech2vec.runtime.config import narrowed
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.progress import log, track
from speech2vec.runtime.seeds import FITTED, generator
from speech2vec.training.methods.acoustic import resampled_words
from speech2vec.training.methods.method import Method, check_finite, words_of
from speech2vec.training.methods.speaker_adaptation import AdaptiveTrainingSettings, fit_adaptation, used_settings


class ContrastiveSettings(ConvolutionalSettings):
    """How both views are fitted, and what they are (`ConvolutionalSettings`).

    Parameters
    ----------
    adaptation
        As there; and how it is fitted.
    discriminants : int
        Numbers of the linear view.
    ridge : float
        So many times its mean variance is added to the covariance within words.
    steps : int
        Batches of the network's training at most; fewer where that would be more than `epochs`.
    epochs : float
        Times that the network is trained with each instance, on average.
    batch_size : int
        Words of a batch, two instances of each.
    learning_rate, weight_decay : float
        The largest rate of AdamW; it rises over a tenth of the steps and falls to nothing.
    temperature : float
        Cosines are divided by it.
    shift : float
        Ends of words are moved at random by up to so much of their length.
    distortion : float
        Frames are multiplied by a random matrix that differs so much from none: an unheard voice.
    most_words : int
        Training words that are used, a random sample of more.
    """

    adaptation: AdaptiveTrainingSettings = AdaptiveTrainingSettings()
    discriminants: int = Field(100, ge=1)
    ridge: float = Field(2.0, gt=0)
    steps: int = Field(1200, ge=0)
    epochs: float = Field(40.0, gt=0)
    batch_size: int = Field(192, ge=2)
    learning_rate: float = Field(2e-3, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    temperature: float = Field(0.07, gt=0)
    shift: float = Field(0.05, ge=0, lt=0.5)
    distortion: float = Field(0.05, ge=0)
    most_words: int = Field(100_000, ge=2)


class WordPairs:
    """Pairs of instances of one word, of two speakers where the word has two.

    Parameters
    ----------
    word, speaker : ndarray [shape=(n,)], int
        Of each instance.
    """

    def __init__(self, word: np.ndarray, speaker: np.ndarray) -> None:
        self.order = np.lexsort((speaker, word))
        word, speaker = word[self.order], speaker[self.order]
        self.first, self.count = runs_of(word)
        block, length = runs_of(word * (int(speaker.max(initial=0)) + 1) + speaker)
        self.block, self.in_block = np.repeat(block, length), np.repeat(length, length)
        several = np.maximum.reduceat(self.in_block, self.first) < self.count if len(word) else self.count > 1
        self.across = int(several.sum()) > 1  # a batch has two words
        if not self.across:  # hardly anything said by two speakers: each instance is a block of its own
            self.block, self.in_block, several = np.arange(len(word)), np.ones(len(word), np.int64), self.count > 1
        self.words = np.flatnonzero(several)

    def draw(self, n_words: int, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Two instances each of different words [shape=(n_words,)], frequent ones the square root more often."""
        chance = np.sqrt(self.count[self.words])
        word = draw.choice(self.words, n_words, replace=False, p=chance / chance.sum())
        one = self.first[word] + (draw.random(n_words) * self.count[word]).astype(np.int64)
        other = self.first[word] + (draw.random(n_words) * (self.count[word] - self.in_block[one])).astype(np.int64)
        other += self.in_block[one] * (other >= self.block[one])
        return self.order[one], self.order[other]


def fit(
    store: Store, rows: np.ndarray, settings: ContrastiveSettings, *, seed: int, device: torch.device, quiet: bool
) -> Convolutional:
    """Both views of the words in `rows`.

    Raises
    ------
    UserError
        If fewer than two of the longer words are said twice, or frames are not finite.
    """
    if len(rows) > settings.most_words:
        rows = np.sort(generator(seed, FITTED).choice(rows, settings.most_words, replace=False))
    words = Words.from_store(store, rows)
    adaptation = fit_adaptation(words, settings.adaptation, seed) if settings.adaptation.rounds else None
    words = adaptation.adapted(words) if adaptation else words
    # Short words sound like parts of others, and there are many of them.
    long = words.n_frames >= np.median(words.n_frames)
    pairs = WordPairs(store.word_id[rows][long], words.speaker[long])
    if len(pairs.words) < 2:
        raise UserError(
            f"store {store.path}: of the longer half of the training words {len(pairs.words)} are said twice, "
            "and the contrastive method needs two"
        )
    if not pairs.across:
        log.warning("fewer than two words are said by two training speakers: any two instances are compared")
    points = resampled_words(words, ResampledSettings(points=settings.points))
    check_finite(points, store)
    raw = points.copy()
    remove_speaker_means(points, words.speaker, 1e-6)
    means = raw - points
    seeded = _seeded(settings, store.n_mfcc, 0, seed)
    linear = _discriminants(points, np.flatnonzero(long), store.word_id[rows], settings)
    encoder = Convolutional(seeded.settings, store.n_mfcc, linear.shape[1], adaptation)
    encoder.load_state_dict({**seeded.state_dict(), "linear": torch.from_numpy(linear), "scale": _scale(points)})
    _train(encoder.to(device), words, np.flatnonzero(long), means, pairs, settings, seed, quiet)
    return encoder.eval()


def untrained(encoder: WordEncoder, store: Store, settings: ContrastiveSettings, *, seed: int) -> Convolutional:
    """The network alone, at its first weights, with what was fitted without labels."""
    assert isinstance(encoder, Convolutional)
    first = _seeded(settings, store.n_mfcc, 0, seed)
    first.adaptation, first.scale = encoder.adaptation, encoder.scale
    return first.to(encoder.linear.device).eval()


def _seeded(settings: ContrastiveSettings, n_features: int, linear_size: int, seed: int) -> Convolutional:
    own = narrowed(ConvolutionalSettings, settings, adaptation=used_settings(settings.adaptation))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Convolutional(own, n_features, linear_size)


def _scale(points: np.ndarray) -> torch.Tensor:
    """Frames as a whole, and the duration, to a standard deviation of 1 [shape=(points * n_features + 1,)]."""
    scale = np.ones(points.shape[1], dtype=np.float32)
    scale[:-1] /= max(float(points[:, :-1].std(dtype=np.float64)), 1e-6)
    scale[-1] /= max(float(points[:, -1].std(dtype=np.float64)), 1e-6)
    return torch.from_numpy(scale)


def _discriminants(
    points: np.ndarray, chosen: np.ndarray, word_id: np.ndarray, settings: ContrastiveSettings
) -> np.ndarray:
    """Directions in which words differ most, for how much instances of one word do [shape=(size, n)], float32."""
    order = chosen[np.argsort(word_id[chosen], kind="stable")]
    first, count = runs_of(word_id[order])
    means = np.add.reduceat(points[order], first, axis=0, dtype=np.float64) / count[:, None]
    apart = (points[order] - np.repeat(means, count, axis=0))[np.repeat(count > 1, count)]
    within = apart.T @ apart / max(len(apart) - int((count > 1).sum()), 1)
    total = np.cov(points.T)
    level = max(float(np.trace(within)), 1e-6 * float(np.trace(total)), 1e-12) / len(within)
    within += settings.ridge * level * np.eye(len(within))
    size = min(settings.discriminants, len(within))
    _, directions = scipy.linalg.eigh(total, within, subset_by_index=(len(within) - size, len(within) - 1))
    return np.ascontiguousarray(directions[:, ::-1], dtype=np.float32)


def _train(
    encoder: Convolutional,
    words: Words,
    chosen: np.ndarray,
    means: np.ndarray,
    pairs: WordPairs,
    settings: ContrastiveSettings,
    seed: int,
    quiet: bool,
) -> None:
    """Train the network with the chosen words, less the `means` of their speakers' points."""
    draw, device = generator(seed, FITTED, 2), encoder.linear.device
    n_words, d = min(settings.batch_size, len(pairs.words)), encoder.n_features
    steps = min(settings.steps, int(np.ceil(settings.epochs * len(chosen) / (2 * n_words))))
    optimiser = torch.optim.AdamW(encoder.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, total_steps=max(steps, 20), pct_start=0.1
    )
    partner = torch.arange(2 * n_words, device=device).roll(n_words)
    itself = torch.eye(2 * n_words, dtype=torch.bool, device=device)
    encoder.train()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        for _ in track(range(steps), "training", steps, "steps", quiet):
            positions = chosen[np.concatenate(pairs.draw(n_words, draw))]
            points = _altered(words.gather(positions), words.n_frames[positions], settings, d, draw) - means[positions]
            vectors = functional.normalize(encoder(torch.from_numpy(points).to(device)), dim=1)
            cosines = (vectors @ vectors.T / settings.temperature).masked_fill(itself, -torch.inf)
            loss = functional.cross_entropy(cosines, partner)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()


def _altered(
    frames: np.ndarray, n_frames: np.ndarray, settings: ContrastiveSettings, n_features: int, draw: np.random.Generator
) -> np.ndarray:
    """Words resampled between moved ends, and distorted [shape=(n, points * n_features + 1)], float32."""
    ends = draw.uniform(-settings.shift, settings.shift, (2, len(n_frames), 1))
    points = resample(frames, n_frames, settings.points, ends)
    away = draw.normal(0, settings.distortion / np.sqrt(n_features), (len(n_frames), n_features, n_features))
    shaped = points[:, :-1].reshape(len(n_frames), settings.points, n_features)
    points[:, :-1] += np.matmul(shaped, away.astype(np.float32)).reshape(len(n_frames), -1)
    points[:, -1] += draw.normal(0, 0.05, len(n_frames))
    return points


METHOD = Method(ContrastiveSettings, fit, untrained, lambda store, rows, settings: words_of(store, rows))
