"""``speech2vec-emotion prepare``: real and made corpora to features, with everything left out named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import typer

from emotion.cli.prepare import prepare
from emotion.corpora.base import LabelSet
from emotion.corpora.registry import read_emotion_corpus
from emotion.corpora.table import read_table
from emotion.data.dataset import Prepared
from emotion.data.prepare import PrepareSettings, prepare_corpus, prepare_settings
from emotion.features import extraction
from emotion.features.extraction import extract_all
from emotion.features.pyaudioanalysis import extract
from emotion.features.settings import FeatureSettings
from scripts.make_iemocap_like import make_iemocap_like
from speech2vec.corpus import audio
from speech2vec.corpus.manifest import Utterance
from speech2vec.runtime import console
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.seeds import generator


def run(*arguments: object, monkeypatch: pytest.MonkeyPatch) -> int:
    app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command()(prepare)
    app.command("other")(lambda: None)
    monkeypatch.setattr("sys.argv", ["speech2vec-emotion", "prepare", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        console.run_app(app)
    return int(end.value.code or 0)


def write_table(folder: Path, sounds: dict[str, np.ndarray], rate: int = 16000) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["audio,text,speaker,label"]
    for i, (name, samples) in enumerate(sounds.items()):
        sf.write(folder / f"{name}.wav", samples, rate, subtype="FLOAT")
        lines.append(f"{name}.wav,words {name},s{i % 2},{('neutral', 'angry')[i % 2]}")
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    return folder / "table.csv"


def test_a_tree_in_the_layout_of_iemocap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_iemocap_like(tmp_path / "made", scale=0.006)
    arguments = ("iemocap", root, "-o", tmp_path / "p", "--preset", "paper", "--jobs", 1, "--quiet")
    assert run(*arguments, monkeypatch=monkeypatch) == 0
    printed = capsys.readouterr().out
    assert "COUNTS DIFFER from the full release" in printed and "improvised" in printed
    prepared = Prepared.open(tmp_path / "p")
    report = json.loads((tmp_path / "p" / "report.json").read_text())
    assert report["asked"] == len(prepared) + len(report["left_out"])
    assert set(report["reasons"]) == {"label outside the four classes"}
    assert set(prepared.session) == set("12345") and set(prepared.label) == {"neu", "hap", "sad", "ang"}
    for i in (0, len(prepared) // 2, len(prepared) - 1):
        signal = audio.load(prepared.utterances()[i].audio)
        np.testing.assert_array_equal(prepared.segment(i), extract(signal, 16000).astype(np.float32))
        assert prepared.duration[i] == pytest.approx(len(signal) / 16000)
    # All labels: nothing is left out. The preset "default" has log-mel energies beside the 34.
    arguments = ("iemocap", root, "-o", tmp_path / "full", "--jobs", 1, "--quiet", "--set", "labels=full")
    assert run(*arguments, monkeypatch=monkeypatch) == 0
    full = Prepared.open(tmp_path / "full")
    assert full.features.shape[1] == 74 and full.meta["features"]["hop"] == 0.025
    assert len(full) == report["asked"] and "xxx" in full.labels and full.labels[:2] == ("neu", "hap")


def test_what_cannot_be_used_is_named_and_the_rest_goes_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = generator(1).normal(0, 0.1, 16000).astype(np.float32)
    sounds = {
        "good": noise,
        "fine": np.stack([noise, noise], axis=1),  # stereo
        "empty": np.zeros(0, np.float32),
        "short": noise[:700],
        "nan": np.where(np.arange(16000) == 77, np.nan, noise),
        "silent": np.zeros(16000, np.float32),
    }
    table = write_table(tmp_path / "t", sounds)
    (tmp_path / "t" / "text.wav").write_text("this is no sound")
    with table.open("a") as out:
        out.write("text.wav,no sound,s1,neutral\nnowhere.wav,none,s1,angry\n")
    assert run("table", table, "-o", tmp_path / "p", "--jobs", 1, monkeypatch=monkeypatch) == 1
    printed = capsys.readouterr()
    assert "left out, unusable audio: 4" in printed.out and "left out, shorter than one window: 1" in printed.out
    assert "left out, silence: 1" in printed.out
    prepared = Prepared.open(tmp_path / "p")
    assert prepared.utterance_id.tolist() == ["good", "fine"]
    assert np.isfinite(prepared.features).all()
    report = json.loads((tmp_path / "p" / "report.json").read_text())
    assert [row["utterance_id"] for row in report["left_out"]] == ["empty", "short", "nan", "silent", "text", "nowhere"]
    assert "NaN" in report["left_out"][2]["detail"]
    # What is there is neither replaced unasked nor lost when the second input is at fault.
    assert run("table", table, "-o", tmp_path / "p", monkeypatch=monkeypatch) == 2
    assert "--force" in capsys.readouterr().err
    assert run("table", tmp_path / "none.csv", "-o", tmp_path / "p", "--force", monkeypatch=monkeypatch) == 2
    assert len(Prepared.open(tmp_path / "p")) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ravdess", "-o", "x"), "Missing argument 'ROOT'"),
        (("ravdess", ".", "-o", "x", "--preset", "papre"), "--preset takes default, paper, not 'papre'"),
        (("other", ".", "-o", "x"), "unknown corpus kind 'other'"),
        (("ravdess", ".", "-o", "x", "--set", "label=full"), "unknown setting 'label'"),
        (("ravdess", ".", "-o", "x", "--set", "features.window=0"), "setting 'features.window'"),
    ],
)
def test_a_users_mistake_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*arguments, monkeypatch=monkeypatch) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_labels_outside_the_four_are_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write_table(tmp_path / "t", dict.fromkeys("ab", np.sin(np.arange(3200, dtype=np.float32))))
    table.write_text(table.read_text().replace("neutral", "bored").replace("angry", "keen"))
    assert run("table", table, "-o", tmp_path / "p", monkeypatch=monkeypatch) == 2
    assert "the labels are bored, keen (--set labels=full" in capsys.readouterr().err
    assert run("table", table, "-o", tmp_path / "p", "--set", "labels=full", monkeypatch=monkeypatch) == 0
    assert Prepared.open(tmp_path / "p").labels == ("bored", "keen")


def test_the_classes_are_those_that_occur_and_what_is_left_out_is_named(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t", dict.fromkeys("abcd", np.sin(np.arange(3200, dtype=np.float32))))
    header, *rows = table.read_text().splitlines()
    labels = ("Neutral", "Wut", "Freude", "Wut")
    rows = [row.replace("neutral", label).replace("angry", label) for row, label in zip(rows, labels, strict=True)]
    table.write_text("\n".join([header, *rows]))
    for chosen, classes, line in (
        ("four", ["neu"], "labels: Neutral → neu (1); left out: Wut 2, Freude 1 (--set labels=full keeps them)"),
        ("full", ["Neutral", "Wut", "Freude"], ""),
        (("Wut", "neu", "ang"), ["Wut", "neu"], "labels: Neutral → neu (1), Wut → Wut (2); left out: Freude 1"),
    ):
        corpus = read_emotion_corpus("table", table)
        outcome = prepare_corpus(corpus, tmp_path / str(chosen), PrepareSettings(labels=chosen))
        assert outcome.meta["labels"] == classes and outcome.meta["name"] == table.stem and line in str(outcome)
        assert ("classes that do not occur: ang" in str(outcome)) is ("ang" in chosen)
        assert list(Prepared.open(tmp_path / str(chosen)).labels) == classes and not outcome.failures
    with pytest.raises(UserError, match="there is no label Angst; the corpus has Neutral, Wut, Freude, and neu, hap"):
        prepare_corpus(corpus, tmp_path / "x", PrepareSettings(labels=("Angst",)))
    assert prepare_settings("default", overrides=['labels=["Wut", "neu"]']).labels == ("Wut", "neu")


@pytest.mark.parametrize("labels", ["four", "full"])
def test_a_column_that_is_empty_everywhere_is_named(tmp_path: Path, labels: LabelSet) -> None:
    table = tmp_path / "table.csv"
    table.write_text("audio,text,speaker,label\na.wav,yes,,happy\nb.wav,no,,sad\n")
    with pytest.raises(UserError) as refused:
        prepare_corpus(read_table(table), tmp_path / "out", PrepareSettings(labels=labels))
    first = f"{table}, line 2, column 'speaker' is empty"
    assert str(refused.value) == f"no utterance is usable: no speaker (2); the first: {first}"


def test_several_processes_give_the_same_in_the_same_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "_WORTH_PROCESSES", 0)
    rng = generator(4)
    sounds = {f"u{i:03}": rng.normal(0, 0.1, int(rng.integers(0, 6000))).astype(np.float32) for i in range(80)}
    table = write_table(tmp_path, sounds)
    utterances = read_emotion_corpus("table", table).utterances
    one = list(extract_all(utterances, FeatureSettings(), jobs=1))
    two = list(extract_all(utterances, FeatureSettings(), jobs=2))
    assert [type(result) for result in one] == [type(result) for result in two]
    assert {type(result).__name__ for result in one} == {"Extracted", "Problem"}
    for a, b in zip(one, two, strict=True):
        if hasattr(a, "features"):
            np.testing.assert_allclose(a.features, b.features, atol=1e-6)
        else:
            assert a == b


def test_parts_channels_and_rates(tmp_path: Path) -> None:
    rng = generator(6)
    stereo = rng.normal(0, 0.1, (8000 * 4, 2)).astype(np.float32)
    sf.write(tmp_path / "a.wav", stereo, 8000, subtype="FLOAT")
    whole = Utterance("w", tmp_path / "a.wav", "", "s", extras={"label": "neu", "label_full": "neu"})
    part = Utterance("p", tmp_path / "a.wav", "", "s", 1.0, 2.5, 1, {"label": "neu", "label_full": "neu"})
    results = list(extract_all([whole, part], FeatureSettings(sampling_rate=8000)))
    assert [r.duration for r in results] == [4.0, 1.5]
    assert all(r.sampling_rate == 8000 for r in results)
    expected = extract(stereo[8000:20000, 1], 8000)
    np.testing.assert_allclose(results[1].features, expected, atol=1e-5)


@pytest.mark.corpus
def test_real_ravdess(test_data: Path, tmp_path: Path) -> None:
    corpus = read_emotion_corpus("ravdess", test_data / "ravdess_4class")
    outcome = prepare_corpus(corpus, tmp_path / "p")
    prepared = Prepared.open(tmp_path / "p")
    assert len(prepared) == 672 and not outcome.failures and outcome.report["count_differences"] == []
    assert outcome.meta["counts"]["by_label"] == {"neu": 96, "hap": 192, "sad": 192, "ang": 192}
    assert np.isfinite(prepared.features).all()
    assert prepared.n_windows.sum() == len(prepared.features) == outcome.meta["counts"]["windows"]
    assert prepared.duration.min() > 2.5 and prepared.duration.max() < 6
