"""COMPOSITE pairs have one label, distinct texts, and keep a dialogue with one speaker."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from emotion.cli.app import app
from emotion.data.composite import pair
from emotion.data.dataset import Prepared, PreparedWriter
from emotion.data.prepare import prepare_composite
from emotion.training.run import PREDICTIONS_FILE
from speech2vec.corpus.manifest import Utterance
from speech2vec.corpus.transcripts import tokenize
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.seeds import generator

LABELS = ("neu", "hap", "sad", "ang")


def made(
    folder: Path, n: int, speakers: int, dialogues: int, words: int, seed: int, windows: int, name: str
) -> Prepared:
    rng = generator(seed)
    folder.mkdir(parents=True)
    meta = {
        "kind": "table",
        "name": name,
        "labels": LABELS,
        "label_set": "four",
        "composite": False,
        "features": {},
        "fingerprint": "0" * 12,
        "feature_names": ["a", "b"],
        "sampling_rates": {},
    }
    with PreparedWriter(folder, 2) as writer:
        for i in range(n):
            label = LABELS[int(rng.integers(4))]
            text = " ".join(f"w{w}" for w in rng.integers(0, words, int(rng.integers(0, 4))))
            dialogue = f"d{rng.integers(dialogues)}" if dialogues else None
            extras = {"label_full": label, "dialogue": dialogue}
            utterance = Utterance(f"{name}{i}", Path("/a.wav"), text, f"s{rng.integers(speakers)}", extras=extras)
            features = np.full((windows, 2), i, np.float32) if windows else None
            writer.add(utterance, features, windows / 10 or None, label)
        writer.finish(meta, {})
    return Prepared.open(folder)


def check(audio: Prepared, text: Prepared, seed: int) -> int:
    pairing = pair(audio, text, seed)
    assert pairing == pair(audio, text, seed)
    used = [j for _, j in pairing.pairs]
    assert len({tuple(tokenize(text.text[j])) for j in used}) == len(used)
    assert all(tokenize(text.text[j]) for j in used)
    speakers = defaultdict(set)
    for i, j in pairing.pairs:
        assert audio.label[i] == text.label[j]
        if text.dialogue[j] is not None:
            speakers[text.dialogue[j]].add(audio.speaker[i])
    assert all(len(of_dialogue) == 1 for of_dialogue in speakers.values())
    # Every recording and every text is either paired, once, or named.
    named = {p.utterance_id for p in pairing.without_text}
    assert sorted([i for i, _ in pairing.pairs] + [i for i in range(len(audio)) if audio.utterance_id[i] in named]) == (
        list(range(len(audio)))
    )
    assert len(used) + len(pairing.unused) == len(text)
    return len(pairing.pairs)


@given(st.integers(1, 60), st.integers(1, 6), st.integers(0, 20), st.integers(1, 80), st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_any_two_sets(
    tmp_path_factory: pytest.TempPathFactory, n: int, speakers: int, dialogues: int, words: int, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("sets")
    audio = made(folder / "a", n, speakers, 0, 5, seed, 3, "sound")
    text = made(folder / "t", 2 * n, 3, dialogues, words, seed + 1, 0, "text")
    check(audio, text, seed)


def test_the_set_says_what_it_is(tmp_path: Path) -> None:
    audio = made(tmp_path / "a", 40, 4, 0, 5, 1, 3, "sound")
    text = made(tmp_path / "t", 400, 4, 60, 500, 2, 0, "text")
    outcome = prepare_composite(audio, text, tmp_path / "c", seed=7)
    composite = Prepared.open(tmp_path / "c")
    assert len(composite) == check(audio, text, 7) == 40 and not outcome.failures
    assert composite.composite and composite.name == "COMPOSITE-sound-text-seed7"
    place = {name: i for i, name in enumerate(audio.utterance_id)}
    for i, utterance in enumerate(composite.utterances()):
        sound, _, text_id = utterance.utterance_id.partition("+")
        assert utterance.extras["composite"] and utterance.extras["text_id"] == text_id
        np.testing.assert_array_equal(composite.segment(i), audio.segment(place[sound]))
    other = tmp_path / "c8"
    prepare_composite(audio, text, other, seed=8)
    assert Prepared.open(other).text.tolist() != composite.text.tolist()
    with pytest.raises(UserError, match="COMPOSITE itself"):
        prepare_composite(composite, text, tmp_path / "x", 1)
    with pytest.raises(UserError, match="text only"):
        prepare_composite(text, text, tmp_path / "x", 1)


def test_what_is_made_from_the_set_says_so(tmp_path: Path) -> None:
    """The predictions of a run, and those for a new recording in every format."""
    rng = generator(0)
    rows = ["audio,text,speaker,label"]
    for i in range(24):
        sf.write(tmp_path / f"{i}.wav", 0.1 * rng.normal(size=8000), 16000)
        rows.append(f"{i}.wav,words {i},s{i % 3},{LABELS[i // 3 % 4]}")
    (tmp_path / "table.csv").write_text("\n".join(rows))
    invoke("prepare", "table", tmp_path / "table.csv", "-o", tmp_path / "real", "--jobs", 1)
    invoke("prepare", "composite", "--audio", tmp_path / "real", "--text", tmp_path / "real", "-o", tmp_path / "both")
    (tmp_path / "synthetic.json").write_text("{}")
    invoke("prepare", "table", tmp_path / "table.csv", "-o", tmp_path / "spoken", "--name", "mine", "--jobs", 1)
    small = ("--set", "model.hidden_size=4", "--set", "model.dense_size=4", "--set", "training.epochs=1")
    names = {"real": "table", "both": "COMPOSITE-table-table-seed0", "spoken": "SYNTHETIC-mine"}
    for folder, corpus in names.items():
        run = tmp_path / f"run-{folder}"
        printed = invoke("train", tmp_path / folder, "-o", run, "--folds", 3, "--seeds", 1, *small, "--quiet").stdout
        assert f"acoustic on {corpus}" in printed
        with (run / PREDICTIONS_FILE).open() as lines:
            assert {row["corpus"] for row in csv.DictReader(lines)} == {corpus}
        natural = folder == "real"
        found = {
            kind: invoke("predict", run, tmp_path / "0.wav", "--format", kind) for kind in ("table", "csv", "json")
        }
        for kind, result in found.items():
            assert (f"trained on {corpus}: " in result.stderr) != natural
            assert (corpus in result.stdout) != (natural and kind == "table")
        assert json.loads(found["json"].stdout)[0]["trained_on"] == corpus
        assert next(csv.DictReader(found["csv"].stdout.splitlines()))["trained_on"] == corpus


def invoke(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, (result.output, result.exception)
    return result


@pytest.mark.corpus
def test_ravdess_and_meld(test_data: Path, tmp_path: Path) -> None:
    from emotion.corpora.registry import read_emotion_corpus
    from emotion.data.prepare import prepare_corpus

    prepare_corpus(read_emotion_corpus("meld", test_data / "meld"), tmp_path / "m")
    text = Prepared.open(tmp_path / "m")
    audio = made(tmp_path / "a", 672, 24, 0, 5, 3, 2, "sound")
    assert check(audio, text, 1) == 672
