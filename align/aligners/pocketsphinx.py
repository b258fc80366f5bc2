"""Forced alignment with PocketSphinx. Needs no download: its wheel contains an English model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import pocketsphinx
from pydantic import Field, field_validator

from align.base import Aligned, Aligner, AlignmentError, AlignmentResult, Failure, Reason, load_input, to_file_time
from align.plausibility import find_implausible
from align.pronunciation.dictionary import Pronunciation, Pronunciations
from speech2vec.corpus import audio
from speech2vec.corpus.manifest import Utterance, Word
from speech2vec.corpus.pronunciations import without_variant
from speech2vec.runtime.config import Settings

SAMPLING_RATE = 16000  # Hz
FRAME_RATE = 100  # Hz
FRAMES_PER_PHONE = 3  # at least: each phone has three states, none of which can be skipped
SCORE_SCALE = 1024  # PocketSphinx returns Viterbi scores divided by this (SENSCR_SHIFT in its acmod.h)
_ALL_GAUSSIANS = 4  # PocketSphinx's own default


class PocketSphinxSettings(Settings):
    """Settings of PocketSphinx.

    Parameters
    ----------
    model : Path or None
        Folder of an acoustic model for 16 kHz; None is the English model of the wheel.
    dictionary : Path or None
        Pronunciation dictionary; None is that of the wheel.
    beams : tuple of float
        Beam widths in (0, 1], tried in this order until an alignment is found.
    silence_probability : float
        Probability of a pause between two words.
    gaussians : int
        Number of Gaussians of each codebook that score a frame, 1 to 4. 1 is a third faster than 4 (PocketSphinx's
        own default), with half a point fewer boundaries within 50 ms (docs/alignment.md). An utterance that needs a
        wider beam is always aligned with 4.
    check_speech : bool
        Fail an utterance that was aligned but cannot be speech (`align.plausibility`): silence, noise or tones.
    """

    model: Path | None = None
    dictionary: Path | None = None
    beams: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (1e-48, 1e-100, 1e-200)
    silence_probability: float = Field(0.1, gt=0, le=1)
    gaussians: int = Field(1, ge=1, le=_ALL_GAUSSIANS)
    check_speech: bool = True

    @field_validator("beams")
    @classmethod
    def _at_least_one(cls, beams: tuple[float, ...]) -> tuple[float, ...]:
        if not beams:
            raise ValueError("at least one beam width is needed")
        return beams


class PocketSphinxAligner(Aligner):
    """Aligns one utterance after the other with `Decoder.set_align_text`.

    The score of a word is its acoustic log-likelihood per frame, relative to the best state of each frame: at most 0.

    Raises
    ------
    AlignmentError
        If the model or the dictionary cannot be used.
    """

    settings_type = PocketSphinxSettings
    takes_device = False

    def __init__(self, settings: PocketSphinxSettings, *, jobs: int = 1, device: str = "cpu") -> None:
        self.settings = settings
        self.pronunciations = Pronunciations(settings.dictionary)
        self._decoders: dict[float, pocketsphinx.Decoder] = {}
        self._decoder(settings.beams[0])

    def _decoder(self, beam: float) -> pocketsphinx.Decoder:
        if beam not in self._decoders:
            model = self.settings.model or Path(pocketsphinx.get_model_path("en-us/en-us"))
            try:
                self._decoders[beam] = pocketsphinx.Decoder(
                    hmm=str(model),
                    dict=str(self.pronunciations.path),
                    lm=None,
                    beam=beam,
                    pbeam=beam,
                    wbeam=beam,
                    silprob=self.settings.silence_probability,
                    topn=self.settings.gaussians if beam == self.settings.beams[0] else _ALL_GAUSSIANS,
                    # The best path of the lattice may end before the last word.
                    bestpath=False,
                    loglevel="FATAL",
                )
            except (RuntimeError, ValueError) as error:
                raise AlignmentError(
                    f"PocketSphinx cannot use the model {model} with the dictionary {self.pronunciations.path}: {error}"
                ) from error
        return self._decoders[beam]

    def align(self, utterances: Sequence[Utterance]) -> Iterator[AlignmentResult]:
        """Yield one result for each utterance, in order."""
        for utterance in utterances:
            yield self._align(utterance)

    def _align(self, utterance: Utterance) -> AlignmentResult:
        name = utterance.utterance_id
        loaded = load_input(utterance, SAMPLING_RATE)
        if isinstance(loaded, Failure):
            return loaded
        tokens, pcm = loaded.tokens, audio.pcm16(loaded.samples)
        pronunciations = {token: self.pronunciations.pronounce(token) for token in set(tokens)}
        for beam in self.settings.beams:
            segments = self._decode(self._decoder(beam), pcm, tokens, pronunciations)
            if segments is not None:
                words = tuple(_word(segment, utterance) for segment in segments)
                fault = self.settings.check_speech and find_implausible(
                    words, loaded.samples, utterance.start or 0.0, scored=True
                )
                if fault:
                    return Failure(name, Reason.NOT_SPEECH, fault)
                guessed = {token: " ".join(p.phones) for token, p in pronunciations.items() if p.guessed}
                return Aligned(name, words, guessed)
        seconds = len(loaded.samples) / SAMPLING_RATE
        n_phones = sum(len(pronunciations[token].phones) for token in tokens)
        if seconds * FRAME_RATE < n_phones * FRAMES_PER_PHONE:
            return Failure(name, Reason.AUDIO_TOO_SHORT, f"{seconds:.2f} s for {n_phones} phones")
        return Failure(name, Reason.NO_ALIGNMENT, f"no path through {len(tokens)} words in {seconds:.2f} s")

    def _decode(
        self, decoder: pocketsphinx.Decoder, pcm: bytes, tokens: list[str], pronunciations: dict[str, Pronunciation]
    ) -> list[pocketsphinx.Segment] | None:
        """Return one segment for each token; None if no path was found."""
        for token, pronunciation in pronunciations.items():
            if pronunciation.guessed and decoder.lookup_word(token) is None:
                decoder.add_word(token, " ".join(pronunciation.phones), False)
        # Resets the noise estimate, which would otherwise carry over from earlier utterances.
        decoder.reinit_feat()
        decoder.set_align_text(" ".join(tokens))
        decoder.start_utt()
        try:
            decoder.process_raw(pcm, full_utt=True)
        finally:
            decoder.end_utt()
        segments = [s for s in decoder.seg() or () if not s.word.startswith(("<", "["))]
        if [without_variant(segment.word) for segment in segments] != tokens:
            return None
        return segments


def _word(segment: pocketsphinx.Segment, utterance: Utterance) -> Word:
    first, after = segment.start_frame, segment.end_frame + 1
    score = math.log(segment.ascore) * SCORE_SCALE / (after - first)
    return to_file_time(utterance, without_variant(segment.word), first / FRAME_RATE, after / FRAME_RATE, score)
