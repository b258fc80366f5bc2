"""Forced alignment with PocketSphinx: no download, since its English model comes inside its wheel."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import pocketsphinx
from pydantic import Field, field_validator

from align.base import Aligned, Aligner, AlignmentError, AlignmentResult, Failure, Reason, load_input, to_file_time
from align.pronunciation.dictionary import Pronunciation, Pronunciations
from speech2vec.corpus import audio
from speech2vec.corpus.manifest import Utterance, Word
from speech2vec.corpus.pronunciations import without_variant
from speech2vec.runtime.config import Settings

SAMPLING_RATE = 16000


# Every phone of the model is three states in a row, none of which can be skipped.
FRAMES_PER_PHONE = 3


# PocketSphinx keeps and returns Viterbi scores divided by this (SENSCR_SHIFT in its acmod.h).
SCORE_SCALE = 1024


# PocketSphinx's own default.
_ALL_GAUSSIANS = 4


class PocketSphinxSettings(Settings):
    """What the words' times depend on.

    Parameters
    ----------
    model : Path or None
        Folder of an acoustic model for 16 kHz; None is the English one of the wheel.
    dictionary : Path or None
        Pronunciation dictionary; None is the wheel's.
    beams : tuple of float
        Beam widths, at least one, each above 0 and up to 1, tried in this order until an alignment is found.
    silence_probability : float
        Of a pause between two words.
    gaussians : int
        How many of each codebook's best Gaussians are summed in a frame's score, 1 to 4. 1 is a third faster than 4,
        PocketSphinx's own default, with half a point fewer boundaries within 50 ms (docs/alignment.md); an utterance
        that needs a wider beam always gets 4.
    """

    model: Path | None = None
    dictionary: Path | None = None
    beams: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (1e-48, 1e-100, 1e-200)
    silence_probability: float = Field(0.1, gt=0, le=1)
    gaussians: int = Field(1, ge=1, le=_ALL_GAUSSIANS)

    @field_validator("beams")
    @classmethod
    def _at_least_one(cls, beams: tuple[float, ...]) -> tuple[float, ...]:
        if not beams:
            raise ValueError("at least one beam width is needed")
        return beams


class PocketSphinxAligner(Aligner):
    """Aligns one utterance after the other with `Decoder.set_align_text`.

    A word's score is its acoustic log-likelihood per frame, against the best state of each frame: 0 at best.

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
                    # What the first beam did not align gets PocketSphinx's own default as well as a wider beam.
                    topn=self.settings.gaussians if beam == self.settings.beams[0] else _ALL_GAUSSIANS,
                    # The lattice's best path may end before the last word: then nothing would be found.
                    bestpath=False,
                    loglevel="FATAL",
                )
            except (RuntimeError, ValueError) as error:
                raise AlignmentError(
                    f"PocketSphinx takes neither the model {model} nor the dictionary {self.pronunciations.path}, "
                    f"or one of the two: {error}"
                ) from error
        return self._decoders[beam]

    def align(self, utterances: Sequence[Utterance]) -> Iterator[AlignmentResult]:
        """One outcome for each utterance, in their order."""
        for utterance in utterances:
            yield self._align(utterance)

    def _align(self, utterance: Utterance) -> AlignmentResult:
        name = utterance.utterance_id
        heard = load_input(utterance, SAMPLING_RATE)
        if isinstance(heard, Failure):
            return heard
        tokens, pcm = heard.tokens, audio.pcm16(heard.samples)
        said = {token: self.pronunciations.pronounce(token) for token in set(tokens)}
        for beam in self.settings.beams:
            segments = self._decode(self._decoder(beam), pcm, tokens, said)
            if segments is not None:
                words = tuple(_word(segment, utterance) for segment in segments)
                guessed = {token: " ".join(p.phones) for token, p in said.items() if p.guessed}
                return Aligned(name, words, guessed)
        seconds = len(heard.samples) / SAMPLING_RATE
        n_phones = sum(len(said[token].phones) for token in tokens)
        if seconds * 100 < n_phones * FRAMES_PER_PHONE:
            return Failure(name, Reason.AUDIO_TOO_SHORT, f"{seconds:.2f} s for {n_phones} phones")
        return Failure(name, Reason.NO_ALIGNMENT, f"no path through {len(tokens)} words in {seconds:.2f} s")

    def _decode(
        self, decoder: pocketsphinx.Decoder, pcm: bytes, tokens: list[str], said: dict[str, Pronunciation]
    ) -> list[pocketsphinx.Segment] | None:
        """The segments of the words, one a token; None if no path was found."""
        for token, pronunciation in said.items():
            if pronunciation.guessed and decoder.lookup_word(token) is None:
                decoder.add_word(token, " ".join(pronunciation.phones), False)
        # Forgets the noise estimated in earlier utterances, which would be subtracted from this one too.
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
    return to_file_time(utterance, without_variant(segment.word), first / 100, after / 100, score)
