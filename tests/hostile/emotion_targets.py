"""The readers of the package emotion; see `targets`."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import soundfile as sf
from aligned_folders import speechlike
from targets import Target

import emotion
from emotion.corpora.registry import read_emotion_corpus
from emotion.data.dataset import Prepared
from emotion.evaluation.predictions import Predictions
from emotion.prediction.predict import feature_settings
from emotion.training.run import Run

MELD = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID\n" + "".join(
    f'{i},"Oh, it’s {i}.",Ross,{label},x,{i // 3},{i % 3}\n' for i, label in enumerate(["neutral", "joy", "anger"] * 2)
)
SMALL = {"model.hidden_size": 4, "model.dense_size": 4, "training.epochs": 1}


def _make_meld(folder: Path) -> None:
    (folder / "dev_sent_emo.csv").write_text(MELD, encoding="utf-8")


def _make_cremad(folder: Path) -> None:
    (folder / "AudioWAV").mkdir()
    (folder / "AudioWAV" / "1001_DFA_ANG_XX.wav").touch()
    actors = "ActorID,Age,Sex,Race,Ethnicity\n1001,51,Male,Caucasian,Not Hispanic\n1002,21,Female,,\n"
    (folder / "VideoDemographics.csv").write_text(actors)


def _make_iemocap(folder: Path) -> None:
    session, dialogue = folder / "Session1", "Ses01F_impro01"
    for inner in ("dialog/EmoEvaluation", "dialog/transcriptions", f"sentences/wav/{dialogue}"):
        (session / inner).mkdir(parents=True)
    lines, texts = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n"], []
    for i in range(3):
        name = f"{dialogue}_F00{i}"
        (session / "sentences" / "wav" / dialogue / f"{name}.wav").touch()
        lines.append(f"[{i}.0 - {i + 1}.0]\t{name}\tneu\t[2.5, 2.5, 2.5]\n")
        texts.append(f"{name} [{i:03}.0-{i + 1:03}.0]: Excuse me {i}.\n")
    (session / "dialog" / "EmoEvaluation" / f"{dialogue}.txt").write_text("".join(lines))
    (session / "dialog" / "transcriptions" / f"{dialogue}.txt").write_text("".join(texts))


def _table_rows() -> list[dict[str, str]]:
    labels = ("neu", "hap", "sad", "ang")
    return [
        {"audio": f"{s}-{label}.wav", "text": f"hello {label}", "speaker": s, "label": label, "start": "0.0"}
        for s in "abc"
        for label in labels
    ]


def _make_tables(folder: Path) -> None:
    import json

    rows = _table_rows()
    with (folder / "t.csv").open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (folder / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _read_tables(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        read_emotion_corpus("table", path)


def _make_prepared(folder: Path) -> None:
    _make_tables(folder)
    for i, row in enumerate(_table_rows()):
        sf.write(folder / row["audio"], speechlike(0.4, i), 16000)
    emotion.prepare("table", folder / "t.csv", folder / "prepared", jobs=1, quiet=True)


def _read_prepared(folder: Path) -> None:
    prepared = Prepared.open(folder / "prepared")
    prepared.utterances()
    _ = prepared.label_index, prepared.name
    for i in range(min(len(prepared), 20)):
        prepared.segment(i).sum()


def _make_emotion_run(folder: Path) -> None:
    _make_prepared(folder)
    (folder / "vectors.txt").write_text("2 3\nhello 1 2 3\nneu 0 1 0\n")
    emotion.train(
        folder / "prepared",
        folder / "run",
        model="dual",
        embeddings=str(folder / "vectors.txt"),
        folds=3,
        seeds=1,
        settings=SMALL,
        jobs=1,
        device="cpu",
        quiet=True,
    )


def _read_emotion_run(folder: Path) -> None:
    run = Run.open(folder / "run")
    feature_settings(run)
    run.untrained()
    run.load_members()
    for fold, seed in run.fold_seeds():
        run.test_probabilities(fold, seed)
    predictions = Predictions.read(run)
    assert np.isfinite(predictions.predicted).all()


EMOTION_TARGETS = [
    Target("MELD", _make_meld, lambda f: read_emotion_corpus("meld", f), "*.csv"),
    Target("CREMA-D", _make_cremad, lambda f: read_emotion_corpus("crema-d", f), "*.csv"),
    Target("IEMOCAP", _make_iemocap, lambda f: read_emotion_corpus("iemocap", f), "*/dialog/*/*.txt"),
    Target("tables", _make_tables, _read_tables, "t.*", 2),
    Target("prepared", _make_prepared, _read_prepared, "prepared/*.*", 2),
    Target("emotion run", _make_emotion_run, _read_emotion_run, "run/*.*", 2),
    Target("emotion members", _make_emotion_run, _read_emotion_run, "run/members/*/*/*"),
]
