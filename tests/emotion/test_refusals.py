"""What cannot be trained on, or classified: a clear line each, and nothing written or lost."""

import csv
import json
import resource
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile as sf
import torch
from click.testing import CliRunner

from emotion.cli.app import app
from emotion.data.dataset import FEATURES_FILE, INDEX_FILE
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import only_writer

LABELS = ("neu", "hap", "sad", "ang")
FOLDS = ("--protocol", "speaker-folds", "--folds", 3, "--seeds", 1)
SMALL = ("--set", "model.hidden_size=6", "--set", "model.dense_size=6", "--set", "training.epochs=1", "--quiet")


def invoke(*arguments, code=0):
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Five speakers (a session each), each class once, audio and texts; and the run of an acoustic model."""
    folder = tmp_path_factory.mktemp("refusals")
    rng = np.random.default_rng(0)
    rows = [["audio", "text", "speaker", "label", "session"]]
    for speaker in "abcde":
        for label in LABELS:
            name = f"{speaker}-{label}.wav"
            sf.write(folder / name, 0.1 * rng.standard_normal(8000), 16000)
            rows.append([name, f"words of {label} {speaker}", speaker, label, str("abcde".index(speaker) + 1)])
    with (folder / "table.csv").open("w", newline="") as out:
        csv.writer(out).writerows(rows)
    published = ("--preset", "paper", "--jobs", 1, "--quiet")
    invoke("prepare", "table", folder / "table.csv", "-o", folder / "prepared", *published)
    invoke(
        "train", "--model", "acoustic", folder / "prepared", "-o", folder / "run", "--folds", 3, "--seeds", 1, *SMALL
    )
    return folder


@pytest.mark.parametrize("command", ["train", "tables"])
def test_a_folder_that_another_process_writes(home, tmp_path, command):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.toml").write_text("kept")
    (tmp_path / "v.txt").write_text("1 2\nwords 0 1\n")
    vectors = ("--word-embeddings", f"2={tmp_path / 'v.txt'}") if command == "tables" else ()
    for option in ("--force", "--resume"):
        with only_writer(tmp_path / "run"), pytest.raises(UserError, match="is being written by process"):
            invoke(command, home / "prepared", "-o", tmp_path / "run", *vectors, *FOLDS, option, *SMALL)
    assert (tmp_path / "run" / "config.toml").read_text() == "kept"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("command", ["train", "tables"])
def test_a_device_that_is_not_there(home, tmp_path, command):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "kept").touch()
    (tmp_path / "vectors.txt").touch()
    arguments = [command, home / "prepared", "-o", tmp_path / "run", "--device", "cuda", "--force"]
    arguments += ["--speech-embeddings", f"50={tmp_path / 'vectors.txt'}"] if command == "tables" else ["--folds", 3]
    with pytest.raises(UserError, match="there is no CUDA device"):
        invoke(*arguments)
    assert (tmp_path / "run" / "kept").exists()
    (tmp_path / "old.csv").write_text("kept")
    with pytest.raises(UserError, match="there is no CUDA device"):
        classify = ("predict", home / "run", home / "a-neu.wav")
        invoke(*classify, "-o", tmp_path / "old.csv", "--device", "cuda", "--force")
    assert (tmp_path / "old.csv").read_text() == "kept"


def test_tables_of_a_corpus_that_cannot_be_used_leave_what_was_there(home, tmp_path):
    shutil.copytree(home / "prepared", tmp_path / "prepared")
    features = np.load(tmp_path / "prepared" / FEATURES_FILE)
    np.save(tmp_path / "prepared" / FEATURES_FILE, np.full_like(features, np.nan))
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "tables.txt").write_text("of an earlier run")
    (tmp_path / "vectors.txt").write_text("1 2\nwords 1 0\n")
    command = ("tables", tmp_path / "prepared", "-o", tmp_path / "tables", "--force", "--quiet")
    with pytest.raises(UserError, match="contain NaN or infinity"):
        invoke(*command, "--protocol", "speaker-folds", "--speech-embeddings", f"2={tmp_path / 'vectors.txt'}")
    assert (tmp_path / "tables" / "tables.txt").read_text() == "of an earlier run"


def test_vectors_of_another_size_are_refused_before_anything_is_trained(home, tmp_path):
    (tmp_path / "good.txt").write_text("1 2\nwords 1 0\n")
    (tmp_path / "bad.txt").write_text("1 3\nwords 1 0 2\n")
    vectors = [f"--word-embeddings=2={tmp_path / 'good.txt'}", f"--speech-embeddings=2={tmp_path / 'bad.txt'}"]
    with pytest.raises(UserError, match=r"bad\.txt has vectors of size 3, not 2"):
        invoke("tables", home / "prepared", "-o", tmp_path / "tables", *vectors, *FOLDS, *SMALL)
    assert not (tmp_path / "tables").exists()


def test_a_corpus_of_one_class_has_nothing_to_tell_apart(home, tmp_path):
    text = (home / "table.csv").read_text()
    for label in LABELS:
        text = text.replace(f",{label},", ",calm,")
    (tmp_path / "table.csv").write_text(text.replace("\n", f"\n{home}/").rsplit("\n", 1)[0] + "\n")
    full = ("--set", "labels=full", "--preset", "paper", "--jobs", 1, "--quiet")
    invoke("prepare", "table", tmp_path / "table.csv", "-o", tmp_path / "prepared", *full)
    with pytest.raises(UserError, match=r"has one class \(calm\): there is nothing to tell apart"):
        invoke("train", tmp_path / "prepared", "-o", tmp_path / "run", *FOLDS, *SMALL)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_no_numbers(home, tmp_path, value):
    shutil.copytree(home / "prepared", tmp_path / "prepared")
    features = np.load(tmp_path / "prepared" / FEATURES_FILE)
    features[7, 3] = value  # five windows an utterance
    np.save(tmp_path / "prepared" / FEATURES_FILE, features)
    with pytest.raises(UserError, match="utterance 'a-hap' contain NaN or infinity"):
        invoke("train", "--model", "acoustic", tmp_path / "prepared", "-o", tmp_path / "run", "--folds", 3, *SMALL)
    assert not (tmp_path / "run").exists() and (tmp_path / "prepared" / INDEX_FILE).exists()


def test_a_speaker_of_two_sessions(home, tmp_path):
    rows = list(csv.DictReader((home / "table.csv").open()))
    for row in rows:
        row["audio"] = str(home / row["audio"])
        row["speaker"] = "a" if row["speaker"] == "e" else row["speaker"]
    with (tmp_path / "table.csv").open("w", newline="") as out:
        writer = csv.DictWriter(out, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    invoke("prepare", "table", tmp_path / "table.csv", "-o", tmp_path / "prepared", "--jobs", 1, "--quiet")
    with pytest.raises(UserError, match="speaker 'a' is in two parts, training and test"):
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
    assert not (tmp_path / "run").exists()


def test_what_a_model_cuts_is_said(home, tmp_path):
    command = (
        "train",
        "--model",
        "acoustic",
        home / "prepared",
        "-o",
        tmp_path / "run",
        "--folds",
        3,
        "--seeds",
        1,
        *SMALL,
    )
    result = invoke(*command, "--set", "model.max_windows=1", "--set", "model.stack=4")
    assert "20 of 20 recordings have more than 4 windows and are cut there (first: a-neu, 0 s)" in result.stderr
    assert json.loads((tmp_path / "run" / "run.json").read_text())["coverage"] == {"recordings_cut": 20}


def test_features_that_a_preset_is_not_meant_for_are_said(home, tmp_path):
    train = ("--folds", 3, "--seeds", 1, *SMALL)
    said = invoke("train", "--model", "acoustic", home / "prepared", "-o", tmp_path / "coarse", *train).stderr
    assert "model.stack = 4 gives steps of 0.4 s" in said and "one every 0.1 s: --set model.stack=1" in said
    invoke("prepare", "table", home / "table.csv", "-o", tmp_path / "fine", "--jobs", 1, "--quiet")
    said = invoke(
        "train", "--model", "acoustic", tmp_path / "fine", "-o", tmp_path / "paper", "--preset", "paper", *train
    ).stderr
    assert "does not have the paper's features: use 'prepare --preset paper'" in said
    for prepared, preset in ((tmp_path / "fine", "default"), (home / "prepared", "paper")):
        command = ("train", "--model", "acoustic", prepared, "-o", tmp_path / "run", "--preset", preset, "--force")
        said = invoke(*command, *train).stderr
        assert "--preset" not in said and "--set" not in said


def test_an_hour_is_classified_by_its_start_and_that_is_said(home, tmp_path):
    hour = tmp_path / "hour.flac"
    sf.write(hour, np.random.default_rng(0).integers(-900, 900, 3600 * 8000, dtype=np.int16), 8000)
    result = invoke("predict", home / "run", hour, "--format", "csv", "--quiet")
    assert "are cut" in result.stderr and "--chunk vad splits them" in result.stderr
    assert "smaller bandwidth than the training data, 8000 Hz" in result.stderr
    (row,) = csv.DictReader(result.stdout.splitlines())
    assert float(row["end"]) == 3600


def test_a_bandwidth_that_is_not_that_of_training_is_said_both_ways(home, tmp_path):
    shutil.copytree(home / "run", tmp_path / "telephone")
    info = json.loads((home / "run" / "run.json").read_text())
    assert info["sampling_rates"] == {"16000": 20}
    rng = np.random.default_rng(0)
    for rate in (8000, 11025, 16000, 48000):
        sf.write(tmp_path / f"{rate}.wav", 0.1 * rng.standard_normal(rate), rate)

    def said(run, rate):
        text = invoke("predict", run, tmp_path / f"{rate}.wav", "--quiet").stderr
        return [how for how in ("smaller", "larger") if f"{how} bandwidth" in text], text

    assert said(home / "run", 8000)[0] == ["smaller"]
    assert said(home / "run", 16000)[0] == said(home / "run", 48000)[0] == []  # features hear 16 kHz only
    for trained, rate, wanted in (
        (["8000"], 8000, []),
        (["8000"], 16000, ["larger"]),
        (["8000"], 48000, ["larger"]),
        (["8000", "16000"], 11025, []),
        (["8000", "44100"], 48000, []),
    ):
        changed = {**info, "sampling_rates": dict.fromkeys(trained, 1)}
        (tmp_path / "telephone" / "run.json").write_text(json.dumps(changed))
        found, text = said(tmp_path / "telephone", rate)
        assert found == wanted
    (tmp_path / "telephone" / "run.json").write_text(json.dumps({**info, "sampling_rates": {"8000": 20}}))
    _, text = said(tmp_path / "telephone", 16000)
    assert "than the training data, 4000 Hz (first: " in text and "16000.wav, 8000 Hz)" in text
    assert "resample them to 8000 Hz" in text


def test_recordings_that_cannot_be_used_are_named_and_the_rest_goes_through(home, tmp_path):
    sf.write(tmp_path / "empty.wav", np.zeros(0), 16000)
    sf.write(tmp_path / "nan.wav", np.full(16000, np.nan, np.float32), 16000, subtype="FLOAT")
    sf.write(tmp_path / "short.wav", np.linspace(0, 0.1, 100), 16000)
    sf.write(tmp_path / "silent.wav", np.zeros(16000), 16000)
    shutil.copy(home / "a-neu.wav", tmp_path / "good.wav")
    result = invoke("predict", home / "run", tmp_path, "--format", "json", "--quiet", code=1)
    assert [row["audio"] for row in json.loads(result.stdout)] == [str(tmp_path / "good.wav")]
    reasons = {
        "empty.wav": "contains no samples",
        "nan.wav": "contains samples that are NaN or infinite",
        "short.wav": "0.006 s contain less than a feature window of 0.1 s",
        "silent.wav": "all its samples are equal",
    }
    for name, reason in reasons.items():
        assert f"error: {tmp_path / name}: {reason}\n" in result.stderr
    with pytest.raises(UserError, match="nothing could be classified"):
        invoke("predict", home / "run", tmp_path / "empty.wav", "--quiet")
    sf.write(tmp_path / "one.wav", np.zeros(16000), 16000)
    with pytest.raises(UserError, match="nothing could be classified"):
        invoke("predict", home / "run", tmp_path / "one.wav", "--channel", 1, "--quiet")


def test_a_text_that_a_model_does_not_take_is_said(home):
    command = ("predict", home / "run", home / "a-neu.wav", "--quiet")
    without, with_text = invoke(*command), invoke(*command, "--text", "words of no weight")
    assert with_text.stdout == without.stdout and not without.stderr
    assert with_text.stderr == "--text has no effect: the acoustic model uses audio only\n"


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("run.json", '{"format": 2}', "has format 2, this version reads 1: train it again"),
        ("run.json", "{", "run.json"),
        ("config.toml", "[model]\nnew_setting = 1\n", "unknown setting 'model.new_setting'"),
        ("members/fold-2/seed-0/model.safetensors", "cut", "damaged or of another model"),
    ],
)
def test_a_run_that_is_not_of_this_version_or_not_whole(home, tmp_path, file, content, message):
    shutil.copytree(home / "run", tmp_path / "run")
    (tmp_path / "run" / file).write_text(content)
    with pytest.raises(UserError, match=message) as refused:
        invoke("predict", tmp_path / "run", home / "a-neu.wav", "--quiet")
    assert "\n" not in str(refused.value)


def changed(run, name, old, new):
    """Replace a text in a file of a run; it must occur."""
    text = (run / name).read_text()
    assert old in text
    (run / name).write_text(text.replace(old, new))


def test_no_name_in_a_stranger_s_run_leads_outside_it(home, tmp_path):
    for name, old, new in (
        ("splits.json", "fold-1", "../../../../outside"),
        ("splits.json", "fold-1", str(tmp_path / "outside")),
        ("run.json", '"seeds": [\n    0', '"seeds": [\n    "0/../../../../../outside"'),
    ):
        shutil.copytree(home / "run", tmp_path / "a" / "run")
        changed(tmp_path / "a" / "run", name, old, new)
        command = (
            "train",
            "--model",
            "acoustic",
            home / "prepared",
            "-o",
            tmp_path / "a" / "run",
            "--folds",
            3,
            "--seeds",
            1,
            *SMALL,
        )
        with pytest.raises(UserError, match=r"cannot be a file name in|is not the description of a run") as refused:
            invoke(*command, "--resume")
        assert len(str(refused.value)) < 300 + len(str(tmp_path))
        assert sorted(path.name for path in tmp_path.rglob("*outside*")) == []
        shutil.rmtree(tmp_path / "a")


def test_a_speaker_whose_name_is_a_path_names_no_fold(home, tmp_path):
    text = (home / "table.csv").read_text().replace(",e,", ",../../outside,")
    (tmp_path / "table.csv").write_text(text.replace("\n", f"\n{home}/").rsplit("\n", 1)[0] + "\n")
    invoke("prepare", "table", tmp_path / "table.csv", "-o", tmp_path / "prepared", "--jobs", 1, "--quiet")
    with pytest.raises(UserError, match=r"'../../outside' cannot be a file name"):
        invoke(
            "train",
            "--model",
            "acoustic",
            tmp_path / "prepared",
            "-o",
            tmp_path / "run",
            "--protocol",
            "leave-one-speaker-out",
            *SMALL,
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "contents"),
    [
        ("run.json", "[1]"),
        ("run.json", '{"format": 1}'),
        ("run.json", "[" * 100_000),
        ("splits.json", '{"fold-1": ["a"]}'),
        ("splits.json", "7"),
        ("members/fold-1/seed-0/test_probabilities.npy", "no array"),
        ("members/fold-1/seed-0/test_probabilities.npy", np.zeros((3, 9), np.float32)),
        ("members/fold-1/seed-0/test_probabilities.npy", np.zeros((8, 4), "U3")),
    ],
)
def test_a_damaged_run_is_one_line(home, tmp_path, name, contents):
    run = tmp_path / "run"
    shutil.copytree(home / "run", run)
    if isinstance(contents, str):
        (run / name).write_text(contents)
    else:
        np.save(run / name, contents)
    command = (
        "train",
        "--model",
        "acoustic",
        home / "prepared",
        "-o",
        run,
        "--folds",
        3,
        "--seeds",
        1,
        *SMALL,
        "--resume",
    )
    for given in (command, ("evaluate", run), ("predict", run, home / "a-neu.wav"))[: 1 if "npy" in name else 3]:
        with pytest.raises(UserError) as refused:
            invoke(*given)
        assert str(run / name) in str(refused.value) and "\n" not in str(refused.value)
        assert len(str(refused.value)) < 300 + len(str(run))


def test_a_name_or_text_that_is_not_utf8_fails_alone(home, tmp_path):
    rows = list(csv.DictReader((home / "table.csv").open()))
    for number, row in enumerate(rows):
        row["audio"] = str(home / row["audio"])
        if number in (0, 5, 10):
            row[("text", "speaker", "label")[number // 5]] = "\ud800"
    shutil.copy(home / "a-neu.wav", tmp_path / "caf\udce9.wav")
    rows.append({**rows[1], "audio": "caf\udce9.wav"})
    (tmp_path / "table.jsonl").write_text("\n".join(map(json.dumps, rows)))
    result = invoke("prepare", "table", tmp_path / "table.jsonl", "-o", tmp_path / "p", "--jobs", 1, "--quiet", code=1)
    assert "left out, text is not UTF-8: 4" in result.output and "17 utterances" in result.output

    result = invoke("predict", home / "run", tmp_path / "caf\udce9.wav", home / "a-sad.wav", "--quiet", code=1)
    assert "a-sad.wav" in result.stdout and "caf" not in result.stdout
    (tmp_path / "RAVDESS").mkdir()
    for name in ("03-01-01-01-01-01-01", "03-01-01-01-01-01-02"):
        shutil.copy(home / "a-neu.wav", tmp_path / "RAVDESS" / f"{name}.wav")
    (tmp_path / "RAVDESS" / "caf\udce9.wav").touch()
    published = ("--preset", "paper", "--jobs", 1, "--quiet")
    result = invoke("prepare", "ravdess", tmp_path / "RAVDESS", "-o", tmp_path / "r", *published, code=1)
    assert "caf\\\\udce9" in (tmp_path / "r" / "report.json").read_text()


def test_a_transcript_that_is_a_folder_fails_its_recording_alone(home, tmp_path):
    for name in "ab":
        shutil.copy(home / "a-neu.wav", tmp_path / f"{name}.wav")
    (tmp_path / "a.txt").mkdir()
    result = invoke("predict", home / "run", tmp_path, "--quiet", code=1)
    assert "b.wav" in result.stdout and "a.wav" not in result.stdout


@pytest.mark.parametrize(("limit", "file"), [(600, "environment.json"), (12_000, "reference.safetensors")])  # bytes
def test_a_full_disk_is_one_line_that_names_the_place(home, tmp_path, limit, file):
    run = tmp_path / "run"
    command = [sys.executable, "-m", "emotion", "train", "--model", "acoustic", str(home / "prepared"), "-o", str(run)]
    answer = subprocess.run(
        [*command, "--folds", "3", "--seeds", "1", "--jobs", "1", "--device", "cpu", *SMALL, "--set", "model.stack=1"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert answer.returncode == 2, answer.stderr
    (error,) = [line for line in answer.stderr.splitlines() if "levelling" not in line]  # of which train warns
    assert error.startswith(f"error: {run / file}"), answer.stderr
    assert not list(run.rglob("*.safetensors"))


def test_what_is_there_stays_where_the_new_one_fails(home, tmp_path):
    """--force replaces an output once its successor is known to work."""
    for name in ("prepared", "run"):
        shutil.copytree(home / name, tmp_path / name)
    kept = [tmp_path / "prepared" / "meta.json", tmp_path / "run" / "predictions.csv", tmp_path / "old.csv"]
    kept[-1].write_text("kept")
    before = [path.read_bytes() for path in kept]
    (tmp_path / "table.csv").write_text("audio,text,speaker,label\nmissing.wav,a,s,neutral\n")
    with pytest.raises(UserError, match="is usable"):
        invoke("prepare", "table", tmp_path / "table.csv", "-o", tmp_path / "prepared", "--force", "--quiet")
    (tmp_path / "vectors.txt").write_text("no vectors")
    embedding = ("--model", "embedding", "--embeddings", tmp_path / "vectors.txt")
    with pytest.raises(UserError, match=r"vectors\.txt"):
        invoke("train", home / "prepared", "-o", tmp_path / "run", *embedding, *FOLDS, "--force", *SMALL)
    (tmp_path / "silent.wav").write_bytes(b"")
    with pytest.raises(UserError, match="nothing could be classified"):
        invoke("predict", home / "run", tmp_path / "silent.wav", "-o", tmp_path / "old.csv", "--force", "--quiet")
    assert [path.read_bytes() for path in kept] == before
