"""The inputs of a prepared corpus; what frames do not have is taken from its audio, and cached beside it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from filelock import FileLock

from emotion.data.cache import cached_vectors
from emotion.data.dataset import CACHE, Prepared
from emotion.data.examples import FUNCTIONALS, SPECTROGRAM, WAVEFORM, Examples, make_examples
from emotion.features.functionals import VERSION, functionals
from emotion.features.level import level_speech
from emotion.features.logmel import log_mel
from emotion.features.voice import SAMPLING_RATE
from emotion.settings import EmotionSettings, SpectrogramSettings
from speech2vec.corpus import audio
from speech2vec.corpus.manifest import Utterance
from speech2vec.runtime.config import fingerprint
from speech2vec.runtime.files import atomic_path, require_file
from speech2vec.runtime.guarded import parsing


def load_waveform(utterance: Utterance, sampling_rate: int = 16000) -> np.ndarray:
    """The samples of an utterance [shape=(n_samples,)], float32, levelled and without silence at its ends.

    See `emotion.features.level.level_speech`. Values can exceed 1.

    Raises
    ------
    AudioError
        The file cannot be used, or is silent.
    """
    signal = audio.load(utterance.audio, utterance.start, utterance.end, sampling_rate, utterance.channel)
    levelled = level_speech(signal, sampling_rate)
    if not len(levelled):
        raise audio.AudioError(
            f"{utterance.audio}: contains only silence: prepare leaves it out, prepare the corpus again"
        )
    return levelled.astype(np.float32)


def spectrogram(utterance: Utterance, settings: SpectrogramSettings) -> np.ndarray:
    """Log-mel energies of an utterance [shape=(n_windows, n_mels)], float32."""
    signal = load_waveform(utterance, settings.sampling_rate)
    return log_mel(signal, settings.sampling_rate, settings.window, settings.hop, settings.n_mels).astype(np.float32)


def spectrograms(
    utterances: Sequence[Utterance], settings: SpectrogramSettings, cache: Path | None = None
) -> list[np.ndarray]:
    """The spectrogram of each utterance, read from the folder `cache` or written to it if one is given."""
    if cache is None:
        return [spectrogram(utterance, settings) for utterance in utterances]
    name = f"spectrogram-levelled-{fingerprint(settings)}"
    values, lengths = cache / f"{name}.npy", cache / f"{name}-windows.npy"
    cache.mkdir(exist_ok=True)
    with FileLock(cache / f".{name}.lock"):  # folds in other processes wait, and find them
        if not lengths.exists():
            made = [spectrogram(utterance, settings) for utterance in utterances]
            for path, array in ((values, np.concatenate(made)), (lengths, np.array([len(own) for own in made]))):
                with atomic_path(path) as temporary, temporary.open("wb") as out:
                    np.save(out, array, allow_pickle=False)
    remedy = "remove it, and it is computed again"
    with parsing(lengths, "the lengths of spectrograms", remedy):
        n_windows = np.load(require_file(lengths), mmap_mode="r", allow_pickle=False)
    with parsing(values, "an array of spectrograms", remedy):
        stored = np.load(require_file(values), mmap_mode="r", allow_pickle=False)
    return np.split(stored, np.cumsum(n_windows)[:-1])


def voice_functionals(utterances: Sequence[Utterance], cache: Path | None = None, version: int = VERSION) -> np.ndarray:
    """The functionals of each utterance [shape=(n_utterances, n_functionals)], float32; kept in the folder `cache`."""

    def compute(utterance: Utterance) -> np.ndarray:
        return functionals(load_waveform(utterance, SAMPLING_RATE), version)[0].astype(np.float32)

    return cached_vectors(utterances, compute, cache, f"functionals-{version}")


def prepared_examples(
    inputs: Collection[str],
    settings: EmotionSettings,
    prepared: Prepared,
    vectors: list[np.ndarray] | None = None,
    version: int = VERSION,
) -> Examples:
    """All utterances of a prepared corpus as the inputs that a classifier asks for, not normalised.

    Parameters
    ----------
    inputs : collection of str
        Of `emotion.data.examples.INPUTS`.
    settings : EmotionSettings
    prepared : Prepared
    vectors : list of ndarray or None
        Each utterance's words as ``vectors``.
    version : int
        Of the functionals (`emotion.features.functionals.VERSION`).
    """
    utterances = prepared.utterances() if {SPECTROGRAM, WAVEFORM, FUNCTIONALS} & set(inputs) else []
    made = spectrograms(utterances, settings.spectrogram, prepared.folder / CACHE) if SPECTROGRAM in inputs else None
    return make_examples(
        inputs,
        labels=prepared.label_index,
        speakers=list(prepared.speaker),
        frames=[np.asarray(prepared.segment(i)) for i in range(len(prepared))],
        texts=list(prepared.text),
        utterances=utterances,
        vectors=vectors,
        functionals=voice_functionals(utterances, prepared.folder / CACHE, version) if FUNCTIONALS in inputs else None,
        spectrogram=made,
        cache=prepared.folder / CACHE,
    )
