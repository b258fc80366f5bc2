"""COMPOSITE pairs have one label and distinct texts, keep a dialogue with one speaker, and are labelled everywhere."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from pathlib import Path

import pytest
import soundfile as sf
import typer
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from align.runner import refuse_composite
from emotion.cli.app import app
from emotion.corpora.registry import read_emotion_corpus
from emotion.data.dataset import Prepared
from emotion.training.run import PREDICTIONS_FILE
from scripts.make_composite import command, pair
from speech2vec.corpus.manifest import Utterance
from speech2vec.corpus.readers import Corpus
from speech2vec.corpus.transcripts import tokenize
from speech2vec.runtime.errors import DONE_WITH_FAILURES, UserError
from speech2vec.runtime.seeds import generator

LABELS = ("neu", "hap", "sad", "ang")


def made(n: int, speakers: int, dialogues: int, words: int, seed: int, name: str) -> list[Utterance]:
    rng = generator(seed)
    utterances = []
    for i in range(n):
        extras = {"label": LABELS[int(rng.integers(4))]}
        text = " ".join(f"w{w}" for w in rng.integers(0, words, int(rng.integers(0, 4))))
        if dialogues:
            extras["dialogue"] = f"d{rng.integers(dialogues)}"
        utterances.append(Utterance(f"{name}{i}", Path("/a.wav"), text, f"s{rng.integers(speakers)}", extras=extras))
    return utterances


def check(audio: list[Utterance], texts: list[Utterance], seed: int) -> int:
    pairing = pair(audio, texts, seed)
    assert pairing == pair(audio, texts, seed)
    used = [tuple(tokenize(text.text)) for _, text in pairing.pairs]
    assert len(set(used)) == len(used) and all(used)
    speakers = defaultdict(set)
    for sound, text in pairing.pairs:
        assert sound.extras["label"] == text.extras["label"]
        if "dialogue" in text.extras:
            speakers[text.extras["dialogue"]].add(sound.speaker)
    assert all(len(of_dialogue) == 1 for of_dialogue in speakers.values())
    # Every recording and every text is either paired, once, or listed.
    listed = [problem.utterance_id for problem in pairing.without_text]
    assert sorted([sound.utterance_id for sound, _ in pairing.pairs] + listed) == sorted(u.utterance_id for u in audio)
    assert len(used) + len(pairing.unused) == len(texts)
    return len(pairing.pairs)


@given(st.integers(1, 60), st.integers(1, 6), st.integers(0, 20), st.integers(1, 80), st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_any_two_corpora(n: int, speakers: int, dialogues: int, words: int, seed: int) -> None:
    audio = made(n, speakers, 0, 5, seed, "sound")
    texts = made(2 * n, 3, dialogues, words, seed + 1, "text")
    check(audio, texts, seed)


def test_the_seed_selects_the_pairing() -> None:
    audio, texts = made(40, 4, 0, 5, 1, "sound"), made(400, 4, 60, 500, 2, "text")
    assert check(audio, texts, 7) == check(audio, texts, 8) == 40
    assert pair(audio, texts, 7).pairs != pair(audio, texts, 8).pairs


def write_corpus(folder: Path, n: int, *, audio: bool = True) -> Path:
    """A table of `n` utterances by three speakers, of each class in turn."""
    folder.mkdir()
    rng = generator(0)
    rows = ["audio,text,speaker,label,sex"]
    for i in range(n):
        if audio:
            sf.write(folder / f"{i}.wav", 0.1 * rng.normal(size=8000), 16000)
        rows.append(f"{f'{i}.wav' if audio else ''},words {i},s{i % 3},{LABELS[i // 3 % 4]},{'fm'[i % 2]}")
    (folder / "table.csv").write_text("\n".join(rows))
    return folder / "table.csv"


def test_the_table_is_read_as_a_composite_corpus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    audio, texts = write_corpus(tmp_path / "a", 24), write_corpus(tmp_path / "t", 20, audio=False)
    with pytest.raises(typer.Exit) as ended:
        command("table", audio, "table", texts, tmp_path / "both.csv", seed=3)
    assert ended.value.exit_code == DONE_WITH_FAILURES  # four recordings have no text
    assert "--name COMPOSITE-table-table-seed3" in capsys.readouterr().out
    report = json.loads((tmp_path / "both.json").read_text())
    assert report["pairs"] == 20 and len(report["without_text"]) == 4
    corpus = read_emotion_corpus("table", tmp_path / "both.csv")
    assert len(corpus.utterances) == 20 and not corpus.problems
    first = corpus.utterances[0]
    assert first.utterance_id.startswith("0+line") and first.audio == audio.parent / "0.wav"
    assert first.extras["composite"] is True and first.extras["sex"] == "f" and first.extras["label"] == "neu"
    with pytest.raises(UserError, match="20 of 20 utterances are COMPOSITE"):
        refuse_composite(Corpus(corpus.utterances))
    with pytest.raises(UserError, match="COMPOSITE itself"):
        command("table", tmp_path / "both.csv", "table", texts, tmp_path / "x.csv")
    with pytest.raises(UserError, match="text only"):
        command("table", texts, "table", texts, tmp_path / "x.csv")
    with pytest.raises(UserError, match=r"must end in \.csv"):
        command("table", audio, "table", texts, tmp_path / "x.tsv")


def test_everything_made_from_the_corpus_is_labelled(tmp_path: Path) -> None:
    """The predictions of a run, and those for a new recording in every format."""
    table = write_corpus(tmp_path / "real", 24)
    command("table", table, "table", table, tmp_path / "both.csv")
    invoke("prepare", "table", table, "-o", tmp_path / "p-real", "--jobs", 1)
    invoke("prepare", "table", tmp_path / "both.csv", "-o", tmp_path / "p-both", "--jobs", 1, "--name", "pairs")
    (tmp_path / "real" / "synthetic.json").write_text("{}")
    invoke("prepare", "table", table, "-o", tmp_path / "p-spoken", "--name", "mine", "--jobs", 1)
    small = ("--set", "model.hidden_size=4", "--set", "model.dense_size=4", "--set", "training.epochs=1")
    names = {"real": "table", "both": "COMPOSITE-pairs", "spoken": "SYNTHETIC-mine"}
    for folder, corpus in names.items():
        assert Prepared.open(tmp_path / f"p-{folder}").name == corpus
        run = tmp_path / f"run-{folder}"
        options = ("--model", "acoustic", "--folds", 3, "--seeds", 1, *small, "--quiet")
        assert f"acoustic on {corpus}" in invoke("train", tmp_path / f"p-{folder}", "-o", run, *options).stdout
        with (run / PREDICTIONS_FILE).open() as lines:
            assert {row["corpus"] for row in csv.DictReader(lines)} == {corpus}
        natural = folder == "real"
        recording = tmp_path / "real" / "0.wav"
        found = {kind: invoke("predict", run, recording, "--format", kind) for kind in ("table", "csv", "json")}
        for kind, result in found.items():
            assert (f"trained on {corpus}: " in result.stderr) != natural
            assert (corpus in result.stdout) != (natural and kind == "table")
        assert json.loads(found["json"].stdout)[0]["trained_on"] == corpus
        assert next(csv.DictReader(found["csv"].stdout.splitlines()))["trained_on"] == corpus
    segments = ("--model", "dual", "--embeddings", "segments:words", "--aligned", tmp_path / "aligned")
    refused = CliRunner().invoke(app, [str(a) for a in ("train", tmp_path / "p-both", "-o", tmp_path / "x", *segments)])
    assert "COMPOSITE: its words were not spoken in its audio" in str(refused.exception)
    assert not (tmp_path / "x").exists()


def invoke(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, (result.output, result.exception)
    return result


@pytest.mark.corpus
def test_meld(test_data: Path) -> None:
    texts = [u for u in read_emotion_corpus("meld", test_data / "meld").utterances if u.extras["label"]]
    assert check(made(672, 24, 0, 5, 3, "sound"), texts, 1) == 672
