"""The program from the command line, on a generated corpus: each class has its pitch and its words."""

import csv
import json

import numpy as np
import pytest
import soundfile as sf
from click.testing import CliRunner

from emotion.cli.app import app
from speech2vec.runtime.errors import UserError
from speech2vec.vectors.word_vectors import WordVectors, write_vectors

LABELS = ("neu", "hap", "sad", "ang")
SMALL = ("--set", "model.hidden_size=12", "--set", "model.dense_size=16", "--set", "training.epochs=3", "--quiet")


def invoke(*arguments, code=0):
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.stdout


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Prepared utterances of five sessions (a speaker each), word vectors, and trained runs."""
    folder = tmp_path_factory.mktemp("emotion")
    rng = np.random.default_rng(0)
    rows = []
    for speaker in range(1, 6):
        for i in range(8):
            label = LABELS[i % 4]
            time = np.arange(int(16000 * rng.uniform(0.5, 0.9))) / 16000
            tone = np.sin(2 * np.pi * (200 + 150 * (i % 4) + 10 * speaker) * time)
            name = f"s{speaker}-{i}.wav"
            sf.write(folder / name, 0.3 * tone + 0.01 * rng.standard_normal(len(time)), 16000)
            text = "[LAUGHTER]" if i == 7 else f"word{i % 4} and more"
            rows.append([name, text, f"s{speaker}", label, str(speaker)])
    with (folder / "table.csv").open("w", newline="") as out:
        csv.writer(out).writerows([["audio", "text", "speaker", "label", "session"], *rows])
    words = ["word0", "word1", "word2", "and"]
    for size in (8, 12):
        vectors = WordVectors(words, rng.standard_normal((4, size)).astype(np.float32))
        write_vectors(folder / f"vectors{size}.txt", vectors)
    invoke("prepare", "table", folder / "table.csv", "-o", folder / "prepared", "--jobs", 1, "--quiet")
    dual = ("--model", "dual", "--embeddings", folder / "vectors8.txt", "--protocol", "session5", "--seeds", 2)
    folder.joinpath("train-dual.txt").write_text(
        invoke("train", folder / "prepared", "-o", folder / "dual", *dual, *SMALL)
    )
    return folder


def test_train_writes_a_whole_run(home):
    assert "UA" in (home / "train-dual.txt").read_text()
    info = json.loads((home / "dual" / "run.json").read_text())
    assert info["vector_size"] == 8 and info["coverage"]["texts_without_words"] == 5
    assert info["coverage"]["types_without_vector"] == 2
    rows = list(csv.DictReader((home / "dual" / "predictions.csv").open()))
    assert len(rows) == 2 * 8 and {row["speaker"] for row in rows} == {"s5"}
    total = [sum(float(row[f"p_{label}"]) for label in LABELS) for row in rows]
    np.testing.assert_allclose(total, 1, atol=1e-4)
    member = json.loads((home / "dual" / "members" / "session5" / "seed-1" / "member.json").read_text())
    assert member["best_epoch"] == 3  # session5 selects nothing


def test_scaling_is_fitted_on_the_training_part_only(home):
    from emotion.data.dataset import Prepared
    from emotion.training.run import Run

    prepared, run = Prepared.open(home / "prepared"), Run.open(home / "dual")
    train = set(run.splits["session5"]["train"])
    own = np.concatenate([prepared.segment(i) for i, name in enumerate(prepared.utterance_id) if name in train])
    np.testing.assert_allclose(run.load_member("session5", 0).scaler.mean, own.mean(axis=0), rtol=1e-4, atol=1e-5)


def test_evaluate_writes_report_scores_and_figure(home, tmp_path):
    text = invoke("evaluate", home / "dual", "--quiet")
    scores = json.loads((home / "dual" / "evaluation" / "scores.json").read_text())
    ua = scores["parts"]["all"]["UA"]
    assert ua["by_utterance"]["low"] <= ua["mean"] <= ua["by_utterance"]["high"]
    assert f"{100 * ua['mean']:.1f} %" in text
    assert (home / "dual" / "evaluation" / "confusion.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(UserError, match="evaluation already exists; --force replaces it"):
        invoke("evaluate", home / "dual", "--quiet")
    with pytest.raises(UserError, match="is or contains the input"):
        invoke("evaluate", home / "dual", "-o", home / "dual", "--force", "--quiet")
    assert invoke("evaluate", home / "dual", "--force", "--quiet") == text
    assert invoke("evaluate", home / "dual", "-o", tmp_path / "0", "--seed", 0, "--quiet") == text
    assert invoke("evaluate", home / "dual", "-o", tmp_path / "1", "--seed", 1, "--draws", 100, "--quiet") != text


def test_resume_trains_only_what_is_missing(home, tmp_path):
    command = (
        "train",
        "--model",
        "acoustic",
        home / "prepared",
        "-o",
        tmp_path / "run",
        "--protocol",
        "leave-one-session-out",
        *SMALL,
    )
    invoke(*command, "--seeds", 1)
    kept = tmp_path / "run" / "members" / "1" / "seed-0" / "model.safetensors"
    gone = tmp_path / "run" / "members" / "3" / "seed-0"
    before, lost = kept.stat().st_mtime_ns, (gone / "model.safetensors").read_bytes()
    for path in gone.iterdir():
        path.unlink()
    with pytest.raises(UserError, match="already exists"):
        invoke(*command, "--seeds", 1)
    with pytest.raises(UserError, match="is incomplete"):
        invoke("evaluate", tmp_path / "run", "--quiet")
    with pytest.raises(UserError, match="started with seeds"):
        invoke(*command, "--seeds", 2, "--resume")
    invoke(*command, "--seeds", 1, "--resume")
    assert kept.stat().st_mtime_ns == before and (gone / "model.safetensors").read_bytes() == lost


@pytest.fixture(scope="module")
def moved(home, tmp_path_factory):
    """The run folder alone, somewhere else: it must need nothing beside it."""
    import shutil

    folder = tmp_path_factory.mktemp("elsewhere") / "run"
    shutil.copytree(home / "dual", folder)
    return folder


def test_predict_equals_the_test_probabilities(home, moved):
    texts = {row["audio"]: row["text"] for row in csv.DictReader((home / "table.csv").open())}
    wanted: dict[str, list[float]] = {}
    for row in csv.DictReader((moved / "predictions.csv").open()):
        wanted.setdefault(row["utterance_id"], []).append(float(row["p_sad"]))
    name = "s5-2.wav"
    key = next(key for key in wanted if key.startswith("s5-2") or key.endswith("s5-2"))
    found = json.loads(invoke("predict", moved, home / name, "--text", texts[name], "--format", "json", "--quiet"))
    assert found[0]["probabilities"]["sad"] == pytest.approx(np.mean(wanted[key]), abs=2e-6)
    assert found[0]["label"] == max(found[0]["probabilities"], key=found[0]["probabilities"].get)


def test_predict_without_text_looks_for_words(home, moved):
    command = ["predict", str(moved), str(home / "s5-2.wav"), "--format", "json", "--quiet"]
    result = CliRunner().invoke(app, command)
    assert "the dual model needs text" in result.stderr
    assert isinstance(json.loads(result.stdout)[0]["text"], str)


def test_predict_takes_recordings_apart(home, tmp_path):
    invoke(
        "train",
        "--model",
        "acoustic",
        home / "prepared",
        "-o",
        tmp_path / "run",
        "--protocol",
        "session5-dev",
        "--seeds",
        1,
        *SMALL,
    )
    long, _ = sf.read(home / "s5-2.wav")
    silence = np.zeros(16000)
    stereo = np.stack([np.concatenate([long, silence, long]), np.concatenate([long, silence, 0 * long])], axis=1)
    sf.write(tmp_path / "long.wav", stereo, 16000)
    args = ("predict", tmp_path / "run", tmp_path / "long.wav", "--format", "csv", "--quiet")
    rows = list(csv.DictReader(invoke(*args, "--chunk", "vad", "--channel", "all").splitlines()))
    assert [row["channel"] for row in rows] == ["0", "0", "1"]
    assert float(rows[1]["start"]) == pytest.approx(len(long) / 16000 + 1, abs=0.1)
    even = list(csv.DictReader(invoke(*args, "--chunk", 0.5, code=1).splitlines()))  # one of them is silence
    assert all(float(row["end"]) - float(row["start"]) <= 0.51 for row in even) and len(even) >= 4
    with pytest.raises(UserError, match="'vad' or at least"):
        invoke(*args, "--chunk", "nonsense")
    (tmp_path / "empty.wav").write_bytes(b"")
    out = invoke("predict", tmp_path / "run", tmp_path / "long.wav", tmp_path / "empty.wav", "--quiet", code=1)
    assert "long.wav" in out


def test_export_writes_an_onnx_file(home, tmp_path):
    pytest.importorskip("onnxruntime")
    assert "outputs equal the run's within" in invoke("export", home / "dual", "-o", tmp_path / "model.onnx", "--quiet")
    assert (tmp_path / "model.onnx").stat().st_size > 1000
    with pytest.raises(UserError, match="already exists"):
        invoke("export", home / "dual", "-o", tmp_path / "model.onnx", "--quiet")
    with pytest.raises(UserError, match=r"must end in \.onnx"):
        invoke("export", home / "dual", "-o", tmp_path / "model.bin")


def test_tables(home, tmp_path):
    vectors = [f"--speech-embeddings={d}={home / f'vectors{d}.txt'}" for d in (8, 12)]
    command = ("tables", home / "prepared", *vectors, f"--word-embeddings=8={home / 'vectors8.txt'}", "--seeds", 2)
    command += ("-o", tmp_path / "out", "--preset", "default", *SMALL, "--set", "training.calibration=false")
    text = invoke(*command)
    assert "Table 3" in text and "Other systems" in text and "linear SVM on statistics" in text
    assert "random vectors, d = 12" in text and "68.49" in text
    assert "+1.37 [-2.31, +5.05], not significant" in text
    rows = list(csv.DictReader((tmp_path / "out" / "tables.csv").open()))
    assert [row["table"] for row in rows].count("2") == 5
    n = len(list((tmp_path / "out" / "runs").glob("*/predictions.csv")))
    assert n >= 10
    with (tmp_path / "out" / "differences.csv").open() as lines:
        assert len(list(csv.DictReader(lines))) == n * (n - 1)  # two measures of each pair
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out" / "runs").rglob("model.safetensors")}
    assert len(before) >= 2 * 9
    assert invoke(*command, "--resume") == text
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "out" / "runs").rglob("model.safetensors")}
    # The same vectors under two names make the same system: their difference is exactly nothing.
    same = {"dual encoder, word vectors, d = 8", "dual encoder, speech vectors, d = 8"}
    with (tmp_path / "out" / "differences.csv").open() as lines:
        found = [row for row in csv.DictReader(lines) if {row["first"], row["second"]} == same]
    assert len(found) == 2
    assert all(float(row[key]) == 0 for row in found for key in ("first less second", "low", "high"))


def test_bad_input_is_one_clear_line(home, tmp_path):
    prepared = home / "prepared"
    with pytest.raises(UserError, match="requires --embeddings"):
        invoke("train", prepared, "-o", tmp_path / "a", "--model", "dual")
    with pytest.raises(UserError, match=r"unknown setting 'model.hidden'"):
        invoke("train", prepared, "-o", tmp_path / "a", "--set", "model.hidden=3")
    with pytest.raises(UserError, match="--preset takes default, paper, not 'papre'"):
        invoke("train", prepared, "-o", tmp_path / "a", "--preset", "papre")
    with pytest.raises(UserError, match="is not a run of speech2vec-emotion"):
        invoke("predict", tmp_path, home / "s1-1.wav")
    run = tmp_path / "old"
    run.mkdir()
    (run / "run.json").write_text('{"format": 0}')
    with pytest.raises(UserError, match="has format 0, this version reads 1"):
        invoke("evaluate", run)
    assert not (tmp_path / "a").exists()


def test_a_class_missing_from_training_is_named(home, tmp_path):
    rows = list(csv.reader((home / "table.csv").open()))
    kept = [rows[0]] + [[str(home / r[0]), *r[1:]] for r in rows[1:] if r[3] != "sad" or r[2] == "s5"]
    with (tmp_path / "table.csv").open("w", newline="") as out:
        csv.writer(out).writerows(kept)
    invoke("prepare", "table", tmp_path / "table.csv", "-o", tmp_path / "prepared", "--jobs", 1, "--quiet")
    with pytest.raises(UserError, match="the training part has no utterance of class sad"):
        invoke(
            "train",
            "--model",
            "acoustic",
            tmp_path / "prepared",
            "-o",
            tmp_path / "run",
            "--protocol",
            "session5",
            *SMALL,
        )


def test_segments_are_vectors_of_each_word_s_own_sound(home, tmp_path):
    from speech2vec.cli.app import app as speech2vec_app
    from speech2vec.corpus.manifest import Word, read_utterances, write_utterances, write_words

    utterances = read_utterances(home / "prepared")
    aligned = tmp_path / "aligned"
    write_utterances(aligned / "utterances.jsonl", utterances)
    # One utterance has no aligned word, as where alignment failed.
    spans = [("one", 0.0, 0.2), ("two", 0.2, 0.45)]
    write_words(aligned / "words.parquet", [Word(u.utterance_id, w, a, b) for u in utterances[1:] for w, a, b in spans])
    (aligned / "report.json").write_text(json.dumps({"asked": 40, "aligned": 39, "words": 78, "failed": []}))
    for command in (
        ("features", aligned, "-o", tmp_path / "store", "--jobs", 1, "--quiet"),
        ("train", tmp_path / "store", "-o", tmp_path / "words", "--set", "model.vector_size=6", "--set",
         "optimiser.epochs=1", "--quiet"),
    ):  # fmt: skip
        result = CliRunner().invoke(speech2vec_app, [str(a) for a in command])
        assert result.exit_code == 0, (result.output, result.exception)
    run = tmp_path / "run"
    command = ("train", home / "prepared", "-o", run, "--model", "dual", "--protocol", "session5", "--seeds", 1, *SMALL)
    segments = ("--embeddings", f"segments:{tmp_path / 'words'}", "--aligned", aligned)
    with pytest.raises(UserError, match="requires --aligned"):
        invoke(*command, *segments[:2])
    with pytest.raises(UserError, match="--checkpoint selects the encoder of --embeddings segments:RUN"):
        invoke(*command, "--checkpoint", "best", "--embeddings", "random:6")
    # As `speech2vec export` does, the last checkpoint is taken, and the other one where it is asked for.
    (tmp_path / "words" / "checkpoints" / "best.safetensors").unlink()
    with pytest.raises(UserError, match=r"best\.safetensors"):
        invoke(*command, *segments, "--checkpoint", "best")
    invoke(*command, *segments)
    info = json.loads((run / "run.json").read_text())
    assert info["vector_size"] == 6 and info["checkpoint"] == "last"
    with pytest.raises(UserError, match="started with checkpoint last, not best"):
        invoke(*command, *segments, "--checkpoint", "best", "--resume")
    assert info["coverage"] == {"tokens": 78, "texts_without_words": 1, "recordings_cut": 0}

    from emotion.training.run import Run
    from speech2vec.model.encoding import encode_instances
    from speech2vec.training.run import Run as Speech2VecRun

    loaded = Speech2VecRun.load(tmp_path / "words")
    vectors = encode_instances(loaded.model, loaded.store)
    own = Run.open(run).segments.of_each()
    assert len(own[0]) == 0
    rows = np.flatnonzero(loaded.store.utterance == loaded.store.utterance_ids.index(utterances[3].utterance_id))
    np.testing.assert_allclose(own[3], vectors[rows], atol=1e-5)
    from emotion.models.word_vectors import WordSegments
    from speech2vec.vectors.portable import PortableEncoder

    encoder = PortableEncoder.load(run / "encoder.safetensors")
    kept = WordSegments.encode(encoder, aligned, [u.utterance_id for u in utterances])
    np.testing.assert_array_equal(kept.vectors, Run.open(run).segments.vectors)


def test_mfcc_of_words_are_extracted_in_as_many_processes_as_jobs_says(home, tmp_path, monkeypatch):
    from emotion.training import plan
    from speech2vec.features.frontend import FrontEnd
    from speech2vec.features.mfcc import MfccSettings
    from speech2vec.model.settings import ModelSettings
    from speech2vec.model.speech2vec import Speech2Vec
    from speech2vec.vectors import portable

    def stopped(aligned, store, settings, jobs, quiet):
        raise UserError(f"{aligned.name} in {jobs} processes")

    encoder = portable.PortableEncoder(Speech2Vec(13, ModelSettings(vector_size=6)), FrontEnd(MfccSettings()))
    monkeypatch.setattr(plan.Speech2VecRun, "load", lambda *_, **__: None)
    monkeypatch.setattr(portable.PortableEncoder, "from_run", lambda _: encoder)
    monkeypatch.setattr(portable, "extract", stopped)
    (tmp_path / "aligned").mkdir()
    of_sound = ("--model", "dual", "--embeddings", "segments:run", "--aligned", tmp_path / "aligned")
    with pytest.raises(UserError, match="aligned in 3 processes"):
        invoke("train", home / "prepared", "-o", tmp_path / "run", "--folds", 5, *of_sound, "--jobs", 3, *SMALL)


@pytest.mark.slow
def test_processes_give_what_one_gives(home, tmp_path):
    command = ("train", "--model", "acoustic", home / "prepared", "--protocol", "session5", "--seeds", 2, *SMALL)
    for jobs in (1, 2):
        invoke(*command, "-o", tmp_path / str(jobs), "--jobs", jobs)
    one, two = (list(csv.DictReader((tmp_path / str(jobs) / "predictions.csv").open())) for jobs in (1, 2))
    for first, second in zip(one, two, strict=True):
        assert first["utterance_id"] == second["utterance_id"]
        assert float(first["p_sad"]) == pytest.approx(float(second["p_sad"]), abs=1e-4)


def test_a_run_is_scored_on_another_corpus_by_the_names_of_its_labels(home, tmp_path):
    """The second corpus has the same tones 12 dB quieter, and a label that the run does not know."""
    rows = []
    for speaker in range(1, 4):
        for i in range(5):
            time = np.arange(10000) / 16000
            tone = 0.08 * np.sin(2 * np.pi * (200 + 150 * (i % 4) + 10 * speaker) * time)
            name = f"t{speaker}-{i}.wav"
            noise = 0.003 * np.random.default_rng(i).standard_normal(len(time))
            sf.write(tmp_path / name, tone + noise, 16000)
            rows.append([name, "", f"t{speaker}", "bored" if i == 4 else LABELS[i], ""])
    with (tmp_path / "other.csv").open("w", newline="") as out:
        csv.writer(out).writerows([["audio", "text", "speaker", "label", "session"], *rows])
    prepare = ("prepare", "table", tmp_path / "other.csv", "--jobs", 1, "--quiet", "--set", "labels=full")
    invoke(*prepare, "-o", tmp_path / "other")
    invoke("train", home / "prepared", "-o", tmp_path / "run", "--protocol", "session5", "--seeds", 1, "--quiet")
    said = invoke("evaluate", tmp_path / "run", "--on", tmp_path / "other", "--quiet")
    assert (
        "voice trained on table, all folds and seeds together, on other" in said
        and "unknown to the run: bored 3" in said
    )
    scores = json.loads((tmp_path / "run" / "evaluation-other" / "scores.json").read_text())
    assert scores["parts"]["all"]["utterances"] == 12 and scores["left_out"] == {"bored": 3}
    assert scores["parts"]["all"]["UA"]["mean"] > 0.5
    invoke(*prepare, "-o", tmp_path / "loud", "--set", "features.loudness=recorded")
    with pytest.raises(UserError, match=r"prepare it with --set features\.loudness=active"):
        invoke("evaluate", tmp_path / "run", "--on", tmp_path / "loud", "-o", tmp_path / "x", "--quiet")
    features = np.load(tmp_path / "other" / "features.npy")
    features[3] = np.nan
    np.save(tmp_path / "other" / "features.npy", features)
    with pytest.raises(UserError, match=r"features of utterance '.*' contain NaN"):
        invoke("evaluate", tmp_path / "run", "--on", tmp_path / "other", "-o", tmp_path / "x", "--quiet")
    invoke("prepare", "table", home / "table.csv", "-o", tmp_path / "again", "--name", "new", "--jobs", 1, "--quiet")
    command = ["evaluate", str(tmp_path / "run"), "--on", str(tmp_path / "again"), "--quiet"]
    said = CliRunner().invoke(app, command).stderr
    assert "40 of 40 utterances of" in said and "scores are too high" in said
    with pytest.raises(UserError, match="other has no transcripts, which the dual model requires"):
        invoke("evaluate", home / "dual", "--on", tmp_path / "other", "-o", tmp_path / "x", "--quiet")
    # A gain, and silence at both ends, leave the probabilities as they are.
    quiet, rate = sf.read(tmp_path / "t1-0.wav")
    for name, signal in (
        ("louder", 9 * quiet),
        ("quieter", 0.1 * quiet),
        ("padded", np.concatenate([np.zeros(32000), quiet, np.zeros(32000)])),
    ):
        sf.write(tmp_path / f"{name}.wav", signal, rate, subtype="DOUBLE")
    names = ("t1-0", "louder", "quieter", "padded")
    table = invoke("predict", tmp_path / "run", *(tmp_path / f"{n}.wav" for n in names), "--format", "json", "--quiet")
    found = np.array([list(p["probabilities"].values()) for p in json.loads(table)])
    np.testing.assert_allclose(found[1:3], found[[0, 0]], atol=2e-6)  # printed with six digits
    np.testing.assert_allclose(found[3], found[0], atol=0.02)
