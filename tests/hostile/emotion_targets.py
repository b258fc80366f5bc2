"""The readers of the package emotion; see `targets`."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
from aligned_folders import speechlike
from targets import Target

import emotion
import speech2vec
from emotion.corpora.registry import read_emotion_corpus
from emotion.data.dataset import Prepared
from emotion.evaluation.predictions import Predictions
from emotion.prediction.predict import feature_settings
from emotion.training.run import Run
from speech2vec.corpus.manifest import Word, write_utterances, write_words
from speech2vec.runtime.files import write_json

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
        for s in "abcdefg"
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
    _train(folder, "dual", embeddings=str(folder / "vectors.txt"))


def _train(folder: Path, model: str, **options: Any) -> None:
    given: dict[str, Any] = {"folds": 3, "settings": SMALL, **options}
    emotion.train(folder / "prepared", folder / "run", model=model, seeds=1, jobs=1, device="cpu", quiet=True, **given)


def _read_emotion_run(folder: Path) -> None:
    run = Run.open(folder / "run")
    feature_settings(run)
    run.untrained()
    run.load_members()
    for fold, seed in run.fold_seeds():
        run.test_probabilities(fold, seed)
    predictions = Predictions.read(run)
    assert np.isfinite(predictions.predicted).all()


# Every kind of classifier that saves what no other does; a fusion has its parts in folders of their own.
CLASSIFIERS = ("svm", "voice", "evector", "hmm", "dnn_elm", "mcnn_lstm", "spectrogram_cnn", "svm+embedding")
_SHORT = {"dnn_elm.epochs": 1, "spectrogram_cnn.epochs": 1, "spectrogram_cnn.channels": [2, 2], "hmm.states": 2}


def _classifier(model: str, damaged: str = "run/**/*.*", read: Callable[[Path], object] | None = None) -> Target:
    """A run of a classifier, with its reference and its control, which classifies a recording."""

    def make(folder: Path) -> None:
        _make_prepared(folder)
        (folder / "vectors.txt").write_text("2 3\nhello 1 2 3\nneu 0 1 0\n")
        own = {name: value for name, value in _SHORT.items() if name.partition(".")[0] in model.split("+")}
        embeddings = str(folder / "vectors.txt") if {"embedding", "mcnn_lstm"} & {*model.split("+")} else None
        folds = 5 if "+" in model else 3  # a fusion has folds of its own, which need speakers
        _train(folder, model, embeddings=embeddings, folds=folds, settings={**SMALL, **own})

    make.__name__ = f"make {model}"
    return Target(f"classifier {model}", make, read or _classify, damaged, 0.7)


def _classify(folder: Path) -> None:
    classifier = emotion.load(folder / "run", device="cpu")
    str(classifier.predict(folder / "a-neu.wav", text="hello neu"))
    str(emotion.evaluate(classifier))


def _make_segments(folder: Path) -> None:
    """A run on vectors of each word's sound, with the encoder that made them."""
    _make_prepared(folder)
    utterances = Prepared.open(folder / "prepared").utterances()
    words = [Word(utterance.utterance_id, "hello", 0.05, 0.3) for utterance in utterances]
    write_utterances(folder / "aligned" / "utterances.jsonl", utterances)
    write_words(folder / "aligned" / "words.parquet", words)
    counts = {"asked": len(utterances), "aligned": len(utterances), "words": len(words), "failed": []}
    write_json(folder / "aligned" / "report.json", counts)
    speech2vec.extract(folder / "aligned", folder / "store", jobs=1, quiet=True)
    speech2vec.train(folder / "store", folder / "sounds", preset="acoustic", device="cpu", quiet=True)
    _train(folder, "embedding", embeddings=f"segments:{folder / 'sounds'}", aligned=folder / "aligned")


def _read_segments(folder: Path) -> None:
    run = Run.open(folder / "run")
    assert run.segments is not None and run.encoder is not None
    assert all(np.isfinite(vectors).all() for vectors in run.segments.of_each())
    run.encoder.encode(speechlike(0.4, 1), 16000, [(0.1, 0.3)])


def _make_nemo(folder: Path) -> None:
    (folder / "samples").mkdir()
    for label in ("anger", "neutral"):
        (folder / "samples" / f"EB0_{label}_1.wav").touch()
    (folder / "data.tsv").write_text(
        "file_id\traw_text\temotion\nEB0_anger_1.wav\tTo  jest.\tanger\nEB0_neutral_1.wav\tTak.\tneutral\n"
    )


def _evaluate_on(folder: Path) -> None:
    """A run on another corpus than it was trained on, which is damaged."""
    str(emotion.evaluate(folder / "run", on=folder / "prepared"))


EMOTION_TARGETS = [
    Target("MELD", _make_meld, lambda f: read_emotion_corpus("meld", f), "*.csv"),
    Target("CREMA-D", _make_cremad, lambda f: read_emotion_corpus("crema-d", f), "*.csv"),
    Target("IEMOCAP", _make_iemocap, lambda f: read_emotion_corpus("iemocap", f), "*/dialog/*/*.txt"),
    Target("nEMO", _make_nemo, lambda f: read_emotion_corpus("nemo", f), "*.tsv"),
    Target("tables", _make_tables, _read_tables, "t.*", 2),
    Target("prepared", _make_prepared, _read_prepared, "prepared/*.*", 2),
    Target("emotion run", _make_emotion_run, _read_emotion_run, "run/*.*", 2),
    Target("emotion members", _make_emotion_run, _read_emotion_run, "run/members/*/*/*"),
    *(_classifier(model) for model in CLASSIFIERS),
    Target("segments", _make_segments, _read_segments, "run/*.*"),
    dataclasses.replace(_classifier("svm", "prepared/*.*", _evaluate_on), name="another corpus"),
]
