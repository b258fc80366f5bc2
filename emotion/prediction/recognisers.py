"""Speech recognisers: PocketSphinx, or a Whisper model that lies on disk."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pocketsphinx

from speech2vec.corpus import audio
from speech2vec.corpus.transcripts import tokenize
from speech2vec.runtime.errors import UserError

SAMPLING_RATE = 16000  # Hz, of both
POCKETSPHINX, WHISPER = "pocketsphinx", "whisper"


@dataclass(frozen=True)
class Recogniser:
    """A speech recogniser; what it hears in an utterance does not depend on those before.

    Parameters
    ----------
    title : str
        With its limits, for a warning.
    words_of : callable
        Samples at 16 kHz, ndarray [shape=(n_samples,)], float32 -> words; "" if there are none.
    longest : float, seconds
        What it can be given at once.
    """

    title: str
    words_of: Callable[[np.ndarray], str]
    longest: float = math.inf

    def __call__(self, samples: np.ndarray) -> str:
        """The words of an utterance, in lower case."""
        return " ".join(tokenize(self.words_of(samples))) if samples.any() else ""  # both hear words in digital silence


def open_recogniser(name: str = POCKETSPHINX) -> Recogniser:
    """Open a recogniser.

    Parameters
    ----------
    name : str
        "pocketsphinx", or "whisper:FOLDER" with a Whisper model in CTranslate2's format (Radford et al., "Robust speech
        recognition via large-scale weak supervision", ICML 2023), as faster-whisper reads it (extra ``asr``).

    Raises
    ------
    UserError
        There is no recogniser of this name, or no model in the folder.
    """
    kind, colon, folder = name.partition(":")
    if name == POCKETSPHINX:
        return _pocketsphinx()
    if kind == WHISPER and colon and folder:
        return _whisper(Path(folder))
    raise UserError(f"--transcriber must be {POCKETSPHINX} or {WHISPER}:FOLDER, not '{name}'")


def _pocketsphinx() -> Recogniser:
    # cmn="batch": the cepstral mean of each utterance, not a running mean over utterances.
    decoder = pocketsphinx.Decoder(samprate=SAMPLING_RATE, cmn="batch", loglevel="FATAL")

    def words_of(samples: np.ndarray) -> str:
        decoder.reinit_feat()  # resets the noise estimate
        decoder.start_utt()
        try:
            decoder.process_raw(audio.pcm16(samples), full_utt=True)
        finally:
            decoder.end_utt()
        hypothesis = decoder.hyp()
        return hypothesis.hypstr if hypothesis else ""

    return Recogniser("PocketSphinx recognises the words, as American English and with errors", words_of, longest=60.0)


def _whisper(folder: Path) -> Recogniser:
    if not (folder / "model.bin").is_file():
        raise UserError(
            f"{folder} has no Whisper model in CTranslate2's format (model.bin); one is fetched by: "
            f"hf download Systran/faster-whisper-base.en --local-dir {folder}"
        )
    try:
        from faster_whisper import WhisperModel
    except ImportError as error:
        raise UserError(
            "--transcriber whisper:FOLDER needs faster-whisper: pip install 'speech2vec-emotion[asr]'"
        ) from error
    try:
        model = WhisperModel(str(folder), local_files_only=True)
    except (RuntimeError, ValueError, OSError) as error:
        raise UserError(f"{folder} is no Whisper model, or is damaged: {str(error)[:100]}") from error

    def words_of(samples: np.ndarray) -> str:
        # At temperature 0 the words are the same each time. Nothing of a window is carried to the next.
        segments, _ = model.transcribe(samples, beam_size=5, temperature=0.0, condition_on_previous_text=False)
        return " ".join(segment.text for segment in segments)

    return Recogniser(f"Whisper ({folder.name}) recognises the words, with errors", words_of)
