"""CTC alignment on emissions made up for the purpose, and with a tiny network trained here on tones."""

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
import torchaudio
from faulty_corpora import check_that_asked_is_aligned_or_reported, faulty_corpora, write_sounds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from align.aligners.ctc import CtcAligner, CtcModel, CtcSettings, align_labels, label_words, load_bundle
from align.base import Aligned, AlignmentError, Failure, Reason, check_results
from speech2vec.corpus.manifest import Utterance
from speech2vec.runtime.errors import UserError

RATE, HOP = 8000, 160
LABELS = ("-", "|", "A", "B", "C")
TONES = {"A": 500.0, "B": 1200.0, "C": 2500.0}


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 3)), min_size=1, max_size=8))
@settings(deadline=None)
def test_certain_emissions_give_back_their_times(runs):
    """Each label lasts as long as it was made to, with blanks between."""
    path = [label for label, n, blanks in runs for label in [label] * n + [0] * blanks]
    emissions = torch.full((len(path), 5), -10.0)
    emissions[torch.arange(len(path)), torch.tensor(path)] = -0.01
    spans = align_labels(emissions, [label for label, _, _ in runs])
    at = 0
    for (_, n, blanks), span in zip(runs, spans, strict=True):
        assert (span.first, span.last) == (at, at + n)
        assert span.total / n == pytest.approx(np.exp(-0.01), abs=1e-5)
        at += n + blanks


def test_words_become_labels():
    labels = ("-", "|", "E", "A", "F", "O", "U", "R", "'")
    assert label_words(["fée", "4", "東京", "-"], labels) == [[4, 2, 2], [4, 5, 6, 7], [9], [9]]
    assert label_words(["é"], ("-", "e", "é")) == [[2]]


class Network(torch.nn.Module):
    """One linear layer on the spectrum: the smallest network that a CTC loss can teach."""

    def __init__(self) -> None:
        super().__init__()
        self.output = torch.nn.Linear(201, len(LABELS))

    def forward(self, waveform: torch.Tensor) -> tuple[torch.Tensor, None]:
        frames = waveform.unfold(1, 400, HOP) * torch.hann_window(400)
        return self.output(torch.log1p(torch.fft.rfft(frames).abs())), None


def sing(text: str, rng: np.random.Generator) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """A tone a character, silence a space; the samples, and when each word starts and ends."""
    parts, times, at, start = [], [], 0.2, 0.2
    parts.append(np.zeros(round(0.2 * RATE)))
    for character in text + " ":
        length = round(float(rng.uniform(0.1, 0.2)) * RATE)
        if character == " ":
            times.append((start, at))
            parts.append(np.zeros(length))
            start = at + length / RATE
        else:
            parts.append(0.3 * np.sin(2 * np.pi * TONES[character] * np.arange(length) / RATE))
            # Equal neighbours would be one tone.
            parts.append(np.zeros(round(0.04 * RATE)))
            at += 0.04
        at += length / RATE
    samples = np.concatenate(parts) + 0.003 * rng.standard_normal(sum(map(len, parts)))
    return samples.astype(np.float32), times


@pytest.fixture(scope="module")
def model() -> CtcModel:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    network = Network()
    optimiser = torch.optim.Adam(network.parameters(), lr=0.03)
    for step in range(300):
        text = " ".join("".join(rng.choice(list("ABC"), rng.integers(1, 4))) for _ in range(3))
        samples, _ = sing(text, rng)
        logits = network(torch.from_numpy(samples)[None])[0]
        targets = torch.tensor([LABELS.index("|" if c == " " else c) for c in text])
        loss = torch.nn.functional.ctc_loss(
            torch.log_softmax(logits, -1).transpose(0, 1), targets[None], (logits.shape[1],), (len(targets),)
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step == 0:
            first = loss.item()
    assert loss.item() < first / 4
    return CtcModel(network.eval(), LABELS, RATE, HOP)


def aligner(model: CtcModel, **settings: float) -> CtcAligner:
    return CtcAligner(CtcSettings(**settings), model=model)


def test_a_trained_network_finds_the_words(model, tmp_path):
    rng = np.random.default_rng(1)
    text = "AB CAC B BCA AA C ABC"
    samples, times = sing(text, rng)
    sf.write(tmp_path / "a.wav", np.concatenate([np.zeros(RATE), samples]), RATE)
    utterance = Utterance("u", tmp_path / "a.wav", text, "s", start=1.0)
    (outcome,) = check_results([utterance], aligner(model).align([utterance]))
    assert isinstance(outcome, Aligned)
    assert [word.word for word in outcome.words] == text.lower().split()
    for word, (start, end) in zip(outcome.words, times, strict=True):
        assert abs(word.start - 1.0 - start) < 0.15  # a peak lies anywhere in its tone
        assert abs(word.end - 1.0 - end) < 0.3
        assert 0.0 < word.score <= 1.0


def test_chunks_give_what_one_piece_gives(model):
    samples, _ = sing("ABC CAB AAC BB " * 20, np.random.default_rng(2))
    whole = model.emissions(samples, chunk=1e6, context=0.0)
    for chunk, context in ((1.0, 0.1), (3.3, 0.5), (0.02, 0.1)):
        assert torch.allclose(model.emissions(samples, chunk, context), whole, atol=1e-4)


@pytest.mark.parametrize(("chunk", "context"), [(0.5, 0.0), (0.02, 0.0), (0.04, 0.02)])
def test_no_chunk_is_shorter_than_the_networks_window(model, chunk, context):
    """A second chunk of the samples left over: none, one, the window less one, the window, ..."""
    samples, _ = sing("ABC CAB AAC", np.random.default_rng(5))
    for n in (0, 1, 239, 240, 399, 400, 401, 560):
        cut = samples[: RATE + n]
        whole = model.emissions(cut, chunk=1e6, context=0.0)
        assert torch.allclose(model.emissions(cut, chunk, context), whole, atol=1e-4)


def test_failures_have_their_reasons(model, tmp_path):
    sf.write(tmp_path / "a.wav", np.zeros(RATE // 10), RATE)
    sf.write(tmp_path / "tiny.wav", np.zeros(10), RATE)
    asked = [
        Utterance("long text", tmp_path / "a.wav", "abc " * 50, "s"),
        Utterance("tiny", tmp_path / "tiny.wav", "a", "s"),
        Utterance("no words", tmp_path / "a.wav", "[laughter]", "s"),
        Utterance("no audio", tmp_path / "b.wav", "a", "s"),
    ]
    got = {o.utterance_id: o for o in check_results(asked, aligner(model).align(asked))}
    assert all(isinstance(o, Failure) for o in got.values())
    assert got["long text"].reason is got["tiny"].reason is Reason.AUDIO_TOO_SHORT
    assert got["no words"].reason is Reason.NO_WORDS
    assert got["no audio"].reason is Reason.UNREADABLE_AUDIO


@given(data=st.data())
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_asked_is_aligned_or_reported(model, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("faulty")
    sounds = write_sounds(folder)
    asked = data.draw(faulty_corpora(sounds, max_size=6))
    check_that_asked_is_aligned_or_reported(aligner(model), asked, folder / "aligned")


def test_equal_neighbours_need_a_frame_between_them(model, tmp_path):
    """Nine characters, six of them like the one before: 15 frames; the network gives two less than the audio holds."""
    samples, _ = sing("AAAA BBBB", np.random.default_rng(4))
    asked = [Utterance(str(n), tmp_path / f"{n}.wav", "AAAA BBBB", "s") for n in (9, 12, 15, 16, 17)]
    for utterance in asked:
        sf.write(utterance.audio, samples[: int(utterance.utterance_id) * HOP], RATE)
    *short, aligned = aligner(model).align(asked)
    assert all(isinstance(o, Failure) and o.reason is Reason.AUDIO_TOO_SHORT for o in short)
    assert isinstance(aligned, Aligned) and [word.word for word in aligned.words] == ["aaaa", "bbbb"]


class Scripted(torch.nn.Module):
    """Says the same whatever it hears: the label of each frame, with its probability."""

    def __init__(self, *frames: tuple[str, float]) -> None:
        super().__init__()
        probabilities = torch.tensor([[(1 - p) / (len(LABELS) - 1)] * len(LABELS) for _, p in frames])
        for row, (label, p) in zip(probabilities, frames, strict=True):
            row[LABELS.index(label)] = p
        self.logits = probabilities.log()

    def forward(self, waveform: torch.Tensor) -> tuple[torch.Tensor, None]:
        return self.logits[None], None


def test_a_score_is_the_mean_probability_of_the_characters_frames(tmp_path):
    frames = [("-", 0.9), ("A", 0.9), ("A", 0.6), ("A", 0.6), ("-", 0.9), ("B", 0.5), ("|", 0.9), ("C", 0.8)]
    sf.write(tmp_path / "a.wav", np.zeros(8 * HOP), RATE)
    scripted = CtcModel(Scripted(*frames), LABELS, RATE, HOP)
    (outcome,) = aligner(scripted).align([Utterance("u", tmp_path / "a.wav", "ab c", "s")])
    assert isinstance(outcome, Aligned)
    assert [(w.word, w.start, w.end) for w in outcome.words] == [("ab", 0.02, 0.12), ("c", 0.14, 0.16)]
    assert [w.score for w in outcome.words] == pytest.approx([(0.9 + 0.6 + 0.6 + 0.5) / 4, 0.8], abs=1e-5)


def test_no_word_ends_after_its_audio(tmp_path):
    """The network rounds half a frame up."""
    sf.write(tmp_path / "a.wav", np.zeros(RATE + 5 * HOP // 2), RATE)
    scripted = CtcModel(Scripted(("-", 0.9), ("-", 0.9), ("A", 0.9)), LABELS, RATE, HOP)
    (outcome,) = aligner(scripted).align([Utterance("u", tmp_path / "a.wav", "a", "s", start=1.0)])
    assert isinstance(outcome, Aligned)
    assert [(w.start, w.end) for w in outcome.words] == [(1.04, 1.05)]


def test_a_word_without_a_label_is_still_aligned(model, tmp_path):
    samples, times = sing("AB CC BA", np.random.default_rng(3))
    sf.write(tmp_path / "a.wav", samples, RATE)
    utterance = Utterance("u", tmp_path / "a.wav", "ab 東京 ba", "s")
    (outcome,) = aligner(model).align([utterance])
    assert isinstance(outcome, Aligned) and [word.word for word in outcome.words] == ["ab", "東京", "ba"]
    assert abs(outcome.words[2].start - times[2][0]) < 0.15


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there():
    with pytest.raises(UserError, match="there is no CUDA device"):
        CtcAligner(CtcSettings(), device="cuda")


TINY = {
    "extractor_mode": "group_norm",
    "extractor_conv_layer_config": [(4, 10, 5), *[(4, 3, 2)] * 4, *[(4, 2, 2)] * 2],
    "extractor_conv_bias": False,
    "encoder_embed_dim": 8,
    "encoder_projection_dropout": 0.0,
    "encoder_pos_conv_kernel": 4,
    "encoder_pos_conv_groups": 2,
    "encoder_num_layers": 1,
    "encoder_num_heads": 2,
    "encoder_attention_dropout": 0.0,
    "encoder_ff_interm_features": 8,
    "encoder_ff_interm_dropout": 0.0,
    "encoder_dropout": 0.0,
    "encoder_layer_norm_first": False,
    "encoder_layer_drop": 0.0,
    "aux_num_out": 4,
}


@pytest.fixture
def tiny() -> torch.nn.Module:
    """A wav2vec2 of a few units, for four labels."""
    torch.manual_seed(0)
    return torchaudio.models.wav2vec2_model(**TINY).eval()


def bundled(kind: type, labels: str) -> object:
    """What torchaudio wraps around such a network; its address leads nowhere."""
    return kind(
        "https://nowhere.invalid/tiny.pt",
        TINY,
        _normalize_waveform=True,
        _model_type="Wav2Vec2",
        _sample_rate=16000,
        _labels=tuple(labels),
        _remove_aux_axis=(),
    )


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    sf.write(tmp_path / "noise.wav", 0.1 * np.random.default_rng(0).standard_normal(16000), 16000)
    return tmp_path / "noise.wav"


def test_weights_from_disk_give_the_words_of_their_network(tiny, noise, tmp_path, monkeypatch):
    bundle = bundled(torchaudio.pipelines.Wav2Vec2ASRBundle, "|AB")
    monkeypatch.setattr(torchaudio.pipelines, "TINY", bundle, raising=False)
    torch.save(tiny.state_dict(), tmp_path / "weights.pt")
    utterance = Utterance("u", noise, "ab ba abba", "s")
    from_disk = CtcAligner(CtcSettings(bundle="TINY", weights=tmp_path / "weights.pt"))

    class Normalised(torch.nn.Module):
        def forward(self, waveform: torch.Tensor) -> tuple[torch.Tensor, None]:
            return tiny(torch.nn.functional.layer_norm(waveform, waveform.shape))[0], None

    in_memory = CtcAligner(CtcSettings(), model=CtcModel(Normalised(), ("-", "|", "A", "B")))
    (outcome,) = from_disk.align([utterance])
    assert isinstance(outcome, Aligned) and [word.word for word in outcome.words] == ["ab", "ba", "abba"]
    assert [outcome] == list(in_memory.align([utterance]))


def test_a_bundle_made_for_alignment_gives_probabilities_not_their_half(tiny, noise, tmp_path, monkeypatch):
    """Such a bundle (MMS_FA) takes the softmax itself, and adds a label of its own that stands for anything."""
    bundle = bundled(torchaudio.pipelines.Wav2Vec2FABundle, "abc")
    monkeypatch.setattr(torchaudio.pipelines, "TINY", bundle, raising=False)
    with torch.no_grad():
        tiny.aux.weight.zero_()
        tiny.aux.bias.copy_(torch.tensor([0.04, 0.9, 0.03, 0.03]).log())
    torch.save(tiny.state_dict(), tmp_path / "weights.pt")
    aligner = CtcAligner(CtcSettings(bundle="TINY", weights=tmp_path / "weights.pt"))
    (a,) = aligner.align([Utterance("u", noise, "a", "s")])
    assert isinstance(a, Aligned) and a.words[0].score == pytest.approx(0.9, abs=1e-5)


def test_bad_weights_are_named(tmp_path, monkeypatch):
    with pytest.raises(AlignmentError, match="no bundle 'NOTHING'"):
        load_bundle("NOTHING")
    with pytest.raises(AlignmentError, match="no such file"):
        load_bundle("WAV2VEC2_ASR_BASE_960H", tmp_path / "none.pt")
    (tmp_path / "bad.pt").write_bytes(b"no weights")
    with pytest.raises(AlignmentError, match="cannot be loaded"):
        load_bundle("WAV2VEC2_ASR_BASE_960H", Path(tmp_path / "bad.pt"))
