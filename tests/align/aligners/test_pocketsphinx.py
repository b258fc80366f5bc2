"""PocketSphinx: reasons of failure on made-up sound; times and scores on real speech."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pocketsphinx
import pytest
import soundfile as sf
from faulty_corpora import check_that_asked_is_aligned_or_reported, faulty_corpora, write_sounds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from align.aligned import write_aligned
from align.aligners.pocketsphinx import PocketSphinxAligner, PocketSphinxSettings
from align.base import Aligned, AlignmentError, Failure, Reason, check_results
from align.comparison import compare
from align.importing import ImportSettings, Tally, read_alignments
from speech2vec.corpus import audio
from speech2vec.corpus.manifest import Utterance, Word
from speech2vec.corpus.readers import read_corpus
from speech2vec.corpus.transcripts import tokenize
from speech2vec.runtime.config import load_settings
from speech2vec.runtime.errors import UserError


@pytest.fixture(scope="module")
def aligner() -> PocketSphinxAligner:
    return PocketSphinxAligner(PocketSphinxSettings())


@pytest.fixture
def noise(tmp_path) -> Path:
    path = tmp_path / "noise.wav"
    sf.write(path, 0.1 * np.random.default_rng(0).standard_normal((16000, 2)), 16000)
    return path


@pytest.mark.parametrize(
    ("text", "part", "reason"),
    [
        ("[laughter] -- ...", (None, None), Reason.NO_WORDS),
        ("hello world " * 20, (None, None), Reason.AUDIO_TOO_SHORT),
        # 48 phones in 100 frames, where each takes three or more.
        ("hello world " * 6, (None, None), Reason.AUDIO_TOO_SHORT),
        ("hello", (0.5, 0.51), Reason.AUDIO_TOO_SHORT),
        ("hello", (0.5, 3.0), Reason.UNREADABLE_AUDIO),
        ("hello", (5.0, 6.0), Reason.UNREADABLE_AUDIO),
    ],
)
def test_reasons(aligner, noise, text, part, reason):
    utterance = Utterance("u", noise, text, "s", *part)
    (outcome,) = check_results([utterance], aligner.align([utterance]))
    assert isinstance(outcome, Failure) and outcome.reason is reason


@given(data=st.data())
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_asked_is_aligned_or_reported(aligner, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("faulty")
    sounds = write_sounds(folder)
    asked = data.draw(faulty_corpora(sounds, max_size=4))
    check_that_asked_is_aligned_or_reported(aligner, asked, folder / "aligned")


def test_samples_over_full_scale_are_cut_not_wrapped(aligner, tmp_path, monkeypatch):
    heard = []
    monkeypatch.setattr(aligner, "_decode", lambda decoder, pcm, *_: heard.append(np.frombuffer(pcm, "<i2")))
    samples = np.array([0.0, 0.5, 1.0, 1.2, -0.5, -1.0, -1.2] * 2000, np.float32)
    sf.write(tmp_path / "loud.wav", samples, 16000, subtype="FLOAT")
    list(aligner.align([Utterance("u", tmp_path / "loud.wav", "hello", "s")]))
    assert heard[0][:7].tolist() == [0, 16383, 32767, 32767, -16383, -32767, -32767]


def test_a_wider_beam_sums_all_gaussians(noise, monkeypatch):
    made = []
    real = pocketsphinx.Decoder

    def recorded(**options):
        made.append((options["beam"], options["topn"]))
        return real(**options)

    monkeypatch.setattr(pocketsphinx, "Decoder", recorded)
    for gaussians in (1, 2):
        own = PocketSphinxAligner(PocketSphinxSettings(beams=(1e-48, 1e-100), gaussians=gaussians))
        (outcome,) = own.align([Utterance("u", noise, "hello world " * 6, "s")])
        assert isinstance(outcome, Failure)
    assert made == [(1e-48, 1), (1e-100, 4), (1e-48, 2), (1e-100, 4)]


def test_missing_audio_and_channel(aligner, noise, tmp_path):
    asked = [Utterance("a", tmp_path / "no.wav", "a", "s"), Utterance("b", noise, "a", "s", channel=2)]
    assert [o.reason for o in aligner.align(asked)] == [Reason.UNREADABLE_AUDIO] * 2


def test_what_cannot_work_is_said_at_once(tmp_path):
    (tmp_path / "own.dict").write_text("hello NO SUCH PHONES\n")
    with pytest.raises(AlignmentError, match="cannot use the model"):
        PocketSphinxAligner(PocketSphinxSettings(model=tmp_path))


@pytest.mark.parametrize(
    ("setting", "fault"),
    [
        ("beams=[]", "'beams': Value error, at least one beam width is needed"),
        ("beams=[1e-48, 0]", "'beams.1': Input should be greater than 0"),
        ("beams=[-1]", "'beams.0': Input should be greater than 0"),
        ("beams=[2]", "'beams.0': Input should be less than or equal to 1"),
        ("silence_probability=0", "'silence_probability': Input should be greater than 0"),
        ("silence_probability=7", "'silence_probability': Input should be less than or equal to 1"),
    ],
)
def test_settings_without_sense(setting, fault):
    with pytest.raises(UserError, match=re.escape(fault)) as refused:
        load_settings(PocketSphinxSettings, overrides=[setting])
    assert str(refused.value).count("setting '") == 1


@pytest.fixture(scope="module")
def speaker(librispeech) -> list[Utterance]:
    return read_corpus(librispeech / "train-clean-100" / "8226").utterances


@pytest.mark.corpus
def test_agrees_with_mfa_on_real_speech(aligner, speaker, test_data, tmp_path):
    """The first twelve utterances, two of them with words that no dictionary has."""
    some = speaker[:12]
    outcomes = list(check_results(some, aligner.align(some)))
    assert all(isinstance(outcome, Aligned) for outcome in outcomes)
    assert sum(len(outcome.guessed) for outcome in outcomes) > 0
    for utterance, outcome in zip(some, outcomes, strict=True):
        assert [word.word for word in outcome.words] == tokenize(utterance.text)
        assert all(-20 < word.score <= 0 for word in outcome.words)
    write_aligned(tmp_path / "own", some, outcomes)
    textgrids = test_data / "librispeech" / "mfa_textgrids" / "train-clean-100"
    imported = read_alignments(some, textgrids, ImportSettings(), Tally())
    write_aligned(tmp_path / "mfa", some, check_results(some, imported))
    comparison = compare(tmp_path / "own", tmp_path / "mfa")
    assert comparison.n_words > 250
    assert comparison.median <= 0.015
    assert comparison.share_within(0.05) >= 0.93
    assert comparison.share_within(0.1) >= 0.98


@pytest.mark.corpus
def test_parts_of_a_long_file_and_the_long_file_itself(aligner, speaker, tmp_path):
    some = speaker[:6]
    alone = {o.utterance_id: o.words for o in aligner.align(some)}
    pieces = [audio.load(utterance.audio) for utterance in some]
    ends = np.cumsum([len(piece) for piece in pieces]) / 16000
    starts = [0.0, *ends[:-1]]
    long = np.zeros((sum(map(len, pieces)), 2), dtype=np.float32)
    long[:, 1] = np.concatenate(pieces)
    sf.write(tmp_path / "long.flac", long, 16000)
    parts = [
        Utterance(u.utterance_id, tmp_path / "long.flac", u.text, "s", float(start), float(end), 1)
        for u, start, end in zip(some, starts, ends, strict=True)
    ]
    for start, outcome in zip(starts, aligner.align(parts), strict=True):
        assert np.allclose([w.start - start for w in outcome.words], [w.start for w in alone[outcome.utterance_id]])
    whole = Utterance("whole", tmp_path / "long.flac", " ".join(u.text for u in some), "s", channel=1)
    (outcome,) = aligner.align([whole])
    expected = [w.start + start for start, u in zip(starts, some, strict=True) for w in alone[u.utterance_id]]
    apart = np.abs(np.array([w.start for w in outcome.words]) - expected)
    # In the long file the noise is estimated from all that came before.
    assert np.median(apart) <= 0.01 and (apart <= 0.05).mean() > 0.95


@pytest.mark.corpus
def test_a_wider_beam_is_tried_when_the_narrow_one_finds_nothing(speaker):
    narrow = PocketSphinxAligner(PocketSphinxSettings(beams=(1e-1,)))
    both = PocketSphinxAligner(PocketSphinxSettings(beams=(1e-1, 1e-48)))
    (failed,) = narrow.align(speaker[:1])
    (found,) = both.align(speaker[:1])
    assert isinstance(failed, Failure) and failed.reason is Reason.NO_ALIGNMENT
    assert isinstance(found, Aligned)


@pytest.mark.corpus
def test_no_utterance_depends_on_those_before_it(speaker):
    """Speech, noise and an utterance that needs a wider beam go before; some words are in no dictionary."""
    some = speaker[:8]
    # The text of another utterance: it fails, or is found with a wider beam.
    before = [replace(one, utterance_id=f"x{i}", text=some[i - 1].text) for i, one in enumerate(some)]

    def words(asked: list[Utterance]) -> dict[str, tuple[Word, ...]]:
        outcomes = PocketSphinxAligner(PocketSphinxSettings()).align(asked)
        return {o.utterance_id: o.words for o in outcomes if isinstance(o, Aligned) and o.utterance_id[0] != "x"}

    alone = {name: own for one in some for name, own in words([one]).items()}
    assert len(alone) == len(some)
    assert words(some[::-1]) == alone
    assert words([*before, *some]) == alone
