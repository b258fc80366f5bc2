"""What a run says of recordings: words that were recognised, vectors of their own sound, parts that are named."""

import csv
import json
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from click.testing import CliRunner
from hypothesis import example, given
from hypothesis import strategies as st

from emotion.cli.app import app
from emotion.features.extraction import BAD_AUDIO
from emotion.prediction.predict import Prediction, PredictionTable, predict
from emotion.prediction.recognisers import open_recogniser
from emotion.prediction.recordings import recordings
from emotion.prediction.transcribe import UNTRANSCRIBED, recognise
from emotion.settings import EmotionSettings
from emotion.training.member import Member
from emotion.training.run import Run
from speech2vec.cli.app import app as speech2vec_app
from speech2vec.corpus import audio
from speech2vec.corpus.manifest import Utterance
from speech2vec.runtime.errors import UserError
from speech2vec.vectors.word_vectors import WordVectors, write_vectors

SMALL = ("--set", "model.hidden_size=12", "--set", "model.dense_size=16", "--set", "training.epochs=2", "--quiet")
KIDS, DOGS = "kids are talking by the door", "dogs are sitting by the door"


def invoke(*arguments, code=0, program=app):
    result = CliRunner().invoke(program, [str(a) for a in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def tone(path, seconds=1.0, n_channels=1):
    signal = 0.3 * np.sin(2 * np.pi * 220 * np.arange(int(16000 * seconds)) / 16000)
    sf.write(path, np.stack([signal] * n_channels, axis=1), 16000)
    return path


def test_a_transcript_counts_for_a_whole_recording_only(tmp_path):
    stereo = tone(tmp_path / "a.wav", 2.0, 2)
    stereo.with_suffix(".txt").write_text("one two\n")
    (whole,), _ = recordings([stereo])
    assert whole.text == "one two" and UNTRANSCRIBED not in whole.extras
    (left,), _ = recordings([stereo], channel="0")
    assert left.text == "one two"
    for parts, _ in (recordings([stereo], chunk="1"), recordings([stereo], channel="all")):
        assert len({part.utterance_id for part in parts}) == 2
        assert all(part.text == "" and part.extras[UNTRANSCRIBED] for part in parts)
    for options in ({"chunk": "1"}, {"channel": "all"}):
        with pytest.raises(UserError, match="omit it"):
            recordings([stereo], text="one two", **options)


def test_a_bad_file_or_silence_does_not_take_the_others_with_it(tmp_path):
    good = tone(tmp_path / "good.wav", 2.0)
    (tmp_path / "bad.wav").write_text("no sound")
    sf.write(tmp_path / "silent.wav", np.zeros(16000), 16000)
    parts, problems = recordings([tmp_path, good], chunk="vad")
    assert [part.audio for part in parts] == [good]
    assert [(problem.utterance_id.rpartition("/")[2], problem.reason) for problem in problems] == [
        ("bad.wav", "unusable audio"),
        ("silent.wav", "no speech"),
    ]


@pytest.mark.parametrize("chunk", ["0", "-1", "nan", "inf", "words"])
def test_chunks_that_cannot_be(tmp_path, chunk):
    with pytest.raises(UserError, match="--chunk must be 'vad' or at least"):
        recordings([tone(tmp_path / "a.wav")], chunk=chunk)


@given(st.floats(0.05, 30.0), st.floats(0.3, 12.0))
@example(3.0, 0.3)
@example(0.9, 0.3)
def test_chunks_cover_everything_in_order_and_none_is_too_short(duration, seconds):
    """Of a file whose header says so; nothing is read."""
    info = audio.AudioInfo(16000, round(16000 * duration), 1)
    duration = info.duration
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(audio, "info", lambda path: info)
        parts, _ = recordings([Path(__file__)], chunk=repr(seconds))
    edges = [(part.start, part.end) for part in parts]
    if duration < 0.3 - 1e-6:
        assert not edges
        return
    assert edges[0][0] == 0 and edges[-1][1] == duration
    assert all(first[1] == second[0] for first, second in pairwise(edges))
    lengths = [end - start for start, end in edges]
    assert min(lengths) >= 0.3 - 2e-6 and lengths[:-1] == pytest.approx([seconds] * (len(edges) - 1))


def test_an_hour_is_not_recognised_in_one(tmp_path):
    path = tmp_path / "hour.flac"
    sf.write(path, np.zeros(3600 * 16000, dtype=np.int16), 16000)
    hour = Utterance("hour", path, "", "s", extras={UNTRANSCRIBED: True})
    done, (problem,) = recognise([hour], open_recogniser)
    assert not done and "lasts 3,600 s" in problem.detail and "--chunk vad" in problem.detail
    part = Utterance("part", path, "", "s", 3000, 3000.5, extras={UNTRANSCRIBED: True})
    done, problems = recognise([part], open_recogniser)
    assert [u.text for u in done] == [""] and not problems


def test_a_part_that_ends_at_zero_is_not_the_whole_recording(tmp_path):
    """An hour would be too long; a part of no length holds no samples."""
    path = tmp_path / "hour.flac"
    sf.write(path, np.zeros(3600 * 16000, dtype=np.int16), 16000)
    nothing = Utterance("nothing", path, "", "s", 0.0, 0.0, extras={UNTRANSCRIBED: True})
    done, (problem,) = recognise([nothing], open_recogniser)
    assert not done and problem.reason == BAD_AUDIO and "contains no samples" in problem.detail


def test_a_prediction_is_the_mean_of_all_members(tmp_path):
    class Fixed:
        def __init__(self, probability):
            self.probability = probability

        def predict_proba(self, examples):
            assert len(examples.frames) == 1 and examples.vectors is None
            return np.array([[1 - self.probability, self.probability]])

    info = {"model": "acoustic", "labels": ["neu", "ang"], "features": {}, "sampling_rates": {"16000": 1}}
    run = Run(tmp_path, {**info, "corpus": "mine"}, EmotionSettings())
    members = [Member("1", 0, Fixed(0.5)), Member("2", 0, Fixed(0.8)), Member("3", 0, Fixed(0.8), temperature=1e9)]
    table = predict(run, members, [Utterance("a", tone(tmp_path / "a.wav"), "", "s")])
    (found,) = table.predictions
    assert found.label == "ang" and not table.problems
    assert found.probabilities["ang"] == pytest.approx((0.5 + 0.8 + 0.5) / 3)


def test_a_prediction_is_a_table_as_text_in_a_notebook_and_as_a_dictionary():
    found = Prediction(Path("<a>.wav"), 0.0, 1.5, None, {"neu": 0.25, "ang": 0.75}, "yes & no")
    table = PredictionTable(("neu", "ang"), [found], [], "mine")
    header, line = str(table).splitlines()
    assert header.split() == ["audio", "start", "end", "channel", "label", "neu", "ang", "text"]
    assert line.split() == ["<a>.wav", "0.00", "1.50", "ang", "0.2500", "0.7500", "yes", "&", "no"]
    html = table._repr_html_()
    assert html.count("<tr>") == 2 and ">&lt;a&gt;.wav</td>" in html and "yes &amp; no" in html
    (row,) = table.to_dict()["predictions"]
    assert row["probabilities"] == {"neu": 0.25, "ang": 0.75} and row["trained_on"] == "mine"
    assert "SYNTHETIC" in str(PredictionTable(("neu", "ang"), [found], [], "SYNTHETIC"))


@pytest.fixture(scope="module")
def ravdess(test_data, tmp_path_factory):
    """Four actors of RAVDESS, eight recordings each: both sentences in the four emotions."""
    folder = tmp_path_factory.mktemp("ravdess")
    for actor in ("01", "02", "03", "04"):
        (folder / f"Actor_{actor}").mkdir()
        for emotion in ("01", "03", "04", "05"):
            for sentence in ("01", "02"):
                pattern = f"03-01-{emotion}-01-{sentence}-01-{actor}.*"
                (found,) = (test_data / "ravdess_4class" / f"Actor_{actor}").glob(pattern)
                shutil.copy(found, folder / f"Actor_{actor}")
    return folder


def neutral(ravdess, sentence, actor="01"):
    return next((ravdess / f"Actor_{actor}").glob(f"03-01-01-01-{sentence}-*"))


@pytest.mark.corpus
def test_recognition_depends_on_nothing_before_it(ravdess):
    kids, dogs = (audio.load(neutral(ravdess, sentence)) for sentence in ("01", "02"))
    first, second = open_recogniser(), open_recogniser()
    one = [first(kids), first(dogs), first(kids)]
    assert one == [second(kids), second(dogs), one[0]]
    # An open vocabulary makes errors ("does it talk him by the door"); words by chance would have none right.
    assert len(set(one[0].split()) & set(KIDS.split())) >= 3 and len(set(one[1].split()) & set(DOGS.split())) >= 3


@pytest.mark.corpus
def test_words_are_recognised_where_none_are_given(ravdess, tmp_path):
    write_vectors(
        tmp_path / "vectors.txt",
        WordVectors(["door", "talking"], np.random.default_rng(0).standard_normal((2, 5)).astype(np.float32)),
    )
    invoke("prepare", "ravdess", ravdess, "-o", tmp_path / "prepared", "--jobs", 1, "--quiet", code=0)
    options = ("--embeddings", tmp_path / "vectors.txt", "--folds", 3, "--seeds", 1, *SMALL)
    path = neutral(ravdess, "01")
    for model in ("dual", "embedding"):
        run = tmp_path / model
        invoke("train", tmp_path / "prepared", "-o", run, "--model", model, *options)
        result = invoke("predict", run, path, "--format", "json", "--quiet")
        (found,) = json.loads(result.stdout)
        assert len(set(found["text"].split()) & set(KIDS.split())) >= 3
        assert "PocketSphinx recognises the words" in result.stderr
        text = ("--text", found["text"], "--format", "json", "--quiet")
        (same,) = json.loads(invoke("predict", run, path, *text).stdout)
        assert same == found
    silent = tmp_path / "silent.wav"
    sf.write(silent, np.zeros(16000), 16000)
    chunks = ("--chunk", "2", "--format", "csv", "--quiet")
    rows = list(csv.DictReader(invoke("predict", tmp_path / "dual", path, *chunks).stdout.splitlines()))
    assert len(rows) == 2 and {"text", "neu", "start"} <= rows[0].keys() and rows[0]["text"] != rows[1]["text"]
    # Where nothing was said, a model of words alone has nothing to say.
    result = invoke("predict", tmp_path / "embedding", path, silent, "--quiet", code=1)
    assert "silent.wav" not in result.stdout and "silent.wav: the embedding model needs at least one" in result.stderr


@pytest.mark.corpus
@pytest.mark.slow
def test_segments_of_a_new_recording_are_those_of_training(checkout, ravdess, tmp_path):
    """Aligned by the same program and encoded by the run's own copy of the encoder: nothing outside it is needed."""
    from emotion.data.dataset import Prepared
    from emotion.models.batches import pad
    from emotion.prediction.ensemble import load_ensemble
    from emotion.training.run import Run
    from scripts.chain import Chain

    prepared, aligned, words = tmp_path / "prepared", tmp_path / "aligned", tmp_path / "words"
    invoke("prepare", "ravdess", ravdess, "-o", prepared, "--jobs", 1, "--quiet")
    Chain(tmp_path).run("align", "speech2vec-align run", prepared / "utterances.jsonl", "-o", aligned, "--quiet")
    one = ("--set", "normalise=utterance", "--jobs", 1, "--quiet")
    invoke("features", aligned, "-o", tmp_path / "store", *one, program=speech2vec_app)
    tiny = ("--set", "model.vector_size=6", "--set", "optimiser.epochs=1", "--quiet")
    invoke("train", tmp_path / "store", "-o", words, *tiny, program=speech2vec_app)
    options = ("--model", "dual", "--folds", 3, "--seeds", 1, *SMALL)
    segments = ("--embeddings", f"segments:{words}", "--aligned", aligned)
    invoke("train", prepared, "-o", tmp_path / "first", *options, *segments)
    shutil.move(tmp_path / "first", tmp_path / "run")
    for folder in (words, tmp_path / "store", aligned):
        shutil.rmtree(folder)
    corpus, run = Prepared.open(prepared), Run.open(tmp_path / "run")
    path = neutral(ravdess, "02", "03")
    i = next(i for i, utterance in enumerate(corpus.utterances()) if utterance.audio.name == path.name)
    own = run.segments.of_each()[i]
    assert own.shape == (6, 6)
    with torch.inference_mode():
        (wanted,) = load_ensemble(run)(*pad([corpus.segment(i)]), *pad([own]))
    as_json = ("--format", "json", "--quiet")
    text = ("--text", "Dogs are sitting by the door.")
    (found,) = json.loads(invoke("predict", tmp_path / "run", path, *text, *as_json).stdout)
    np.testing.assert_allclose(list(found["probabilities"].values()), wanted, atol=2e-6)
    (recognised,) = json.loads(invoke("predict", tmp_path / "run", path, *as_json).stdout)
    assert "door" in recognised["text"]
    (tmp_path / "run" / "encoder.safetensors").write_bytes(b"cut off")
    with pytest.raises(UserError, match=r"encoder.safetensors is not an encoder, or is damaged"):
        invoke("predict", tmp_path / "run", path, "--text", "dogs", "--quiet")
