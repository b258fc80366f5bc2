"""Forced alignment with a CTC model: the characters of the transcript are aligned to the output of a wav2vec2 network.

References
----------
L. Kürzinger et al., "CTC-Segmentation of Large Corpora for German End-to-End Speech Recognition", SPECOM 2020.
V. Pratap et al., "Scaling Speech Technology to 1,000+ Languages", 2023, section 3.1 (forced alignment, star token).
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torchaudio
from pydantic import Field

from align.base import Aligned, Aligner, AlignmentError, AlignmentResult, Failure, Reason, load_input, to_file_time
from align.pronunciation.numerals import read_number
from speech2vec.corpus.manifest import Utterance, Word
from speech2vec.runtime.config import Settings
from speech2vec.runtime.devices import choose_device

# Cells of the trellis (frames times labels), a byte each: 20 to 30 minutes of read speech.
MAX_TRELLIS = 3_000_000_000

_DIGITS = re.compile(r"\d+")
_SEPARATOR = "|"


class CtcSettings(Settings):
    """Settings of the CTC aligner.

    Parameters
    ----------
    bundle : str
        A bundle of `torchaudio.pipelines` with character labels: WAV2VEC2_ASR_BASE_960H, MMS_FA, ...
    weights : Path or None
        File with the weights of the bundle; None lets torchaudio download them (once).
    chunk, context : float, seconds
        The network processes the audio in chunks of this length, each extended by the context on both sides.
    """

    bundle: str = "WAV2VEC2_ASR_BASE_960H"
    weights: Path | None = None
    chunk: float = Field(30.0, gt=0, allow_inf_nan=False)
    context: float = Field(2.0, ge=0, allow_inf_nan=False)


@dataclass(frozen=True)
class CtcModel:
    """A network that predicts the probabilities of characters, frame by frame.

    Parameters
    ----------
    network : Module
        Waveform [shape=(1, n_samples)] to (logits [shape=(1, n_frames, n_labels)], lengths or None). The logits
        may be log-probabilities.
    labels : sequence of str
        The character of each output; the first is the blank, and there is no star.
    sampling_rate : int, Hz
    hop_length : int, samples
        Step from one frame to the next.
    window_length : int, samples
        Receptive field of a frame: 400 in every wav2vec2 of torchaudio.
    """

    network: torch.nn.Module
    labels: Sequence[str]
    sampling_rate: int = 16000
    hop_length: int = 320
    window_length: int = 400

    def n_frames(self, n_samples: int) -> int:
        """Return the number of frames that the network computes from `n_samples` samples."""
        return max(0, (n_samples - self.window_length) // self.hop_length + 1)

    @torch.inference_mode()
    def emissions(self, samples: np.ndarray, chunk: float = 30.0, context: float = 2.0) -> torch.Tensor:
        """Compute the log-probabilities of the labels, with a column of zeros for the star, which matches anything.

        Parameters
        ----------
        samples : ndarray [shape=(n_samples,)]
        chunk, context : float, seconds

        Returns
        -------
        Tensor [shape=(n_frames, n_labels + 1)]
        """
        device = next((p.device for p in self.network.parameters()), torch.device("cpu"))
        hop = self.hop_length
        step = max(1, round(chunk * self.sampling_rate / hop))  # in frames
        margin = round(context * self.sampling_rate / hop)
        parts = []
        n_frames = self.n_frames(len(samples))
        for first in range(0, max(1, n_frames), step):
            begin = max(0, first - margin)
            # Whole windows: the network raises an error on input shorter than its window.
            piece = samples[begin * hop : (first + step + margin - 1) * hop + self.window_length]
            is_last = first + step >= n_frames
            logits = self.network(torch.from_numpy(piece)[None].to(device))[0][0, :, : len(self.labels)]
            end = None if is_last else first - begin + step
            parts.append(torch.log_softmax(logits.float(), dim=-1)[first - begin : end].cpu())
        log_probabilities = torch.cat(parts)
        return torch.cat([log_probabilities, torch.zeros(len(log_probabilities), 1)], dim=1)


def label_words(words: Sequence[str], labels: Sequence[str]) -> list[list[int]]:
    """Return the labels of each word; characters without a label are left out, a word without any is the star.

    Examples
    --------
    >>> label_words(["ab", "é", "東"], ["-", "a", "b", "e"])
    [[1, 2], [3], [4]]
    """
    star = len(labels)
    # Bundles use either upper or lower case; the blank and the separator of words are not characters.
    number = {label.lower(): i for i, label in enumerate(labels) if i > 0 and label != _SEPARATOR}
    numbered = []
    for word in words:
        spoken = _DIGITS.sub(lambda run: "".join(read_number(_plain_digits(run[0]))), word)
        # Of an accented letter without a label, the letter is kept.
        plain = [d for c in spoken for d in (c if c in number else unicodedata.normalize("NFKD", c)) if d in number]
        numbered.append([number[c] for c in plain] or [star])
    return numbered


def _plain_digits(run: str) -> str:
    return "".join(str(unicodedata.decimal(digit)) for digit in run)


@dataclass(frozen=True)
class _Span:
    """The frames of a label on the path, and the sum of its probabilities in them."""

    first: int
    last: int
    total: float


def align_labels(emissions: torch.Tensor, targets: Sequence[int]) -> list[_Span]:
    """Find the most probable path of `targets` through `emissions`.

    Parameters
    ----------
    emissions : Tensor [shape=(n_frames, n_labels)], log-probabilities
    targets : sequence of int

    Returns
    -------
    list of _Span
        One for each target.
    """
    path, scores = torchaudio.functional.forced_align(
        emissions[None].contiguous(), torch.tensor([list(targets)], dtype=torch.int32), blank=0
    )
    spans = torchaudio.functional.merge_tokens(path[0], scores[0].exp(), blank=0)
    return [_Span(span.start, span.end, span.score * (span.end - span.start)) for span in spans]


class CtcAligner(Aligner):
    """Aligns one utterance after the other. The score of a word is the mean probability of its characters.

    A CTC model marks a character where it is most certain, not over its whole length: words tend to end too early.
    """

    settings_type = CtcSettings
    parallel = False

    def __init__(
        self, settings: CtcSettings, *, jobs: int = 1, device: str = "cpu", model: CtcModel | None = None
    ) -> None:
        self.settings = settings
        torch.set_num_threads(max(1, jobs))
        self.model = model or load_bundle(settings.bundle, settings.weights, device)

    def align(self, utterances: Sequence[Utterance]) -> Iterator[AlignmentResult]:
        """Yield one result for each utterance, in order."""
        for utterance in utterances:
            yield self._align(utterance)

    def _align(self, utterance: Utterance) -> AlignmentResult:
        name, model = utterance.utterance_id, self.model
        loaded = load_input(utterance, model.sampling_rate)
        if isinstance(loaded, Failure):
            return loaded
        words, samples = loaded.tokens, loaded.samples
        labelled = label_words(words, model.labels)
        separator = [model.labels.index(_SEPARATOR)] if _SEPARATOR in model.labels else []
        targets = [label for i, word in enumerate(labelled) for label in ([*separator, *word] if i else word)]
        seconds = len(samples) / model.sampling_rate
        # Equal neighbours need a blank between them.
        needed = len(targets) + sum(a == b for a, b in itertools.pairwise(targets))
        n_frames = model.n_frames(len(samples))
        if n_frames < needed:
            return Failure(name, Reason.AUDIO_TOO_SHORT, f"{seconds:.2f} s for {len(targets)} characters")
        if n_frames * (2 * len(targets) + 1) > MAX_TRELLIS:
            return Failure(
                name, Reason.NO_ALIGNMENT, f"{seconds / 60:.0f} minutes are too long for one utterance: split it"
            )
        emissions = model.emissions(samples, self.settings.chunk, self.settings.context)
        if len(emissions) < needed:
            return Failure(name, Reason.AUDIO_TOO_SHORT, f"{seconds:.2f} s for {len(targets)} characters")
        spans = _by_word(align_labels(emissions, targets), labelled, len(separator))
        in_time = (_word(utterance, word, own, model, seconds) for word, own in zip(words, spans, strict=True))
        return Aligned(name, tuple(in_time))


def _by_word(spans: Sequence[_Span], labelled: Sequence[Sequence[int]], n_between: int) -> Iterator[Sequence[_Span]]:
    """Yield the spans of each word, without the separators."""
    at = 0
    for own in labelled:
        yield spans[at : at + len(own)]
        at += len(own) + n_between


def _word(utterance: Utterance, word: str, spans: Sequence[_Span], model: CtcModel, seconds: float) -> Word:
    frame = model.hop_length / model.sampling_rate
    score = sum(span.total for span in spans) / sum(span.last - span.first for span in spans)
    return to_file_time(utterance, word, spans[0].first * frame, min(spans[-1].last * frame, seconds), score)


def load_bundle(name: str, weights: Path | None = None, device: str = "cpu") -> CtcModel:
    """Load a model of `torchaudio.pipelines`, with weights from disk or downloaded by torchaudio.

    Raises
    ------
    AlignmentError
        If there is no such bundle, it has no labels, or its weights cannot be loaded.
    UserError
        If the device does not exist.
    """
    chosen = choose_device(device)
    bundle = getattr(torchaudio.pipelines, name, None)
    if bundle is None or not hasattr(bundle, "get_labels"):
        raise AlignmentError(f"torchaudio has no bundle '{name}' with character labels: try WAV2VEC2_ASR_BASE_960H")
    options: dict[str, object] = {"weights_only": True, "map_location": "cpu"}
    if weights is not None:
        if not Path(weights).is_file():
            raise AlignmentError(f"weights {weights}: there is no such file")
        # torchaudio downloads nothing if the folder has a file of this name.
        options |= {"model_dir": str(Path(weights).parent), "file_name": Path(weights).name}
    # Bundles for alignment (MMS_FA) have a star of their own; `CtcModel.emissions` adds one already.
    for_alignment = isinstance(bundle, torchaudio.pipelines.Wav2Vec2FABundle)
    try:
        network = bundle.get_model(dl_kwargs=options, **({"with_star": False} if for_alignment else {}))
    except OSError as error:
        raise AlignmentError(
            f"the weights of {name} cannot be downloaded ({error}): --set weights=FILE reads them from disk"
        ) from error
    except Exception as error:
        raise AlignmentError(f"the weights of {name} cannot be loaded: {str(error).splitlines()[0]}") from error
    labels = bundle.get_labels(star=None) if for_alignment else bundle.get_labels()
    return CtcModel(network.to(chosen).eval(), labels, int(bundle.sample_rate))
