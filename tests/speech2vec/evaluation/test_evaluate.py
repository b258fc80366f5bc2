"""`speech2vec evaluate` and `neighbours` as commands: controls, coverage, files, faults."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from fakes import random_vectors
from sentences import make_store, run

from speech2vec.evaluation.benchmarks import Benchmark
from speech2vec.evaluation.evaluate import (
    RANDOM,
    NamedVectors,
    distinct_names,
    evaluate,
    evaluate_levels,
    find_run,
    keep_frequent,
    only_words,
)
from speech2vec.evaluation.scores import read_evaluation
from speech2vec.runtime.errors import UserError
from speech2vec.training.run import Run
from speech2vec.vectors.word_vectors import write_vectors


@pytest.fixture
def wordsim(tmp_path: Path) -> Path:
    """Two small benchmarks over the words w0..w29."""
    folder = tmp_path / "wordsim"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, n in (("EN-MEN-TR-3k", 120), ("EN-YP-130", 40)):
        lines = [f"w{a}\tw{b}\t{rating}\n" for a, b, rating in rng.integers(0, 30, (n, 3))]
        (folder / f"{name}.txt").write_text("".join(lines))
    return folder


def make_run(folder: Path, store: Path, sentences: list[list[str]]) -> Path:
    """A run as training leaves it, on a store of these sentences, with vectors for w0 to w29."""
    from speech2vec.runtime.config import fingerprint, to_toml, validate_settings
    from speech2vec.runtime.files import write_json
    from speech2vec.training.presets import TrainSettings

    make_store(store, sentences)
    (folder / "checkpoints").mkdir(parents=True)
    settings = validate_settings(TrainSettings, {"model": {"vector_size": 8}})
    (folder / "config.toml").write_text(to_toml(settings))
    write_json(folder / "store.json", {"path": str(store), "fingerprint": fingerprint({"n_mfcc": 13})})
    write_vectors(folder / "vectors.txt", random_vectors([f"w{i}" for i in range(30)], 8, seed=1))
    return folder


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A run on a store in which w0 to w9 are rare."""
    sentences = [[f"w{i}" for i in range(30)]] + [[f"w{i}" for i in range(10, 30)] for _ in range(5)]
    return make_run(tmp_path / "run", tmp_path / "store", sentences)


class TestEvaluate:
    def test_files_side_by_side(self, tmp_path: Path, wordsim: Path, capsys: pytest.CaptureFixture[str]) -> None:
        write_vectors(tmp_path / "all.txt", random_vectors([f"w{i}" for i in range(30)], 20))
        write_vectors(tmp_path / "some.bin", random_vectors([f"W{i}" for i in range(15)], 30), binary=True)
        out = tmp_path / "out"
        assert run("evaluate", tmp_path / "all.txt", tmp_path / "some.bin", "--wordsim", wordsim, "-o", out) == 0
        printed = capsys.readouterr().out
        assert "over the pairs that every model here covers" in printed
        result = json.loads((out / "evaluation.json").read_text())
        assert [(model["name"], model["kind"]) for model in result["models"]] == [
            ("all", "file"),
            ("some", "file"),
            ("random (100 draws)", "random"),
        ]
        (level,) = result["levels"]
        assert level["min_count"] is None
        whole, half = level["results"]["all"], level["results"]["some"]
        men = whole["scores"][0]
        assert (men["benchmark"], men["n_pairs"], men["n_covered"], men["missing"]) == ("MEN", 120, 120, [])
        assert half["scores"][0]["missing"] == sorted(f"w{i}" for i in range(15, 30))
        assert whole["common_scores"][0]["n_covered"] == half["scores"][0]["n_covered"]
        assert men["low"] <= men["rho"] <= men["high"]
        assert f"{men['rho']:.3f} [{men['low']:.2f}, {men['high']:.2f}]" in printed
        assert result["published"]["columns"]["Speech2Vec d=10 (published)"]["MEN"] == 0.543
        with (out / "scores.csv").open() as file:
            rows = list(csv.DictReader(file))
        # 3 models, own and common, 2 sets and their mean; random pairs of 2 models; 2 published columns of 2 sets
        assert len(rows) == 3 * 2 * 3 + 2 + 4
        (row,) = [r for r in rows if (r["model"], r["over"], r["benchmark"]) == ("all", "own", "MEN")]
        assert float(row["rho"]) == pytest.approx(men["rho"], abs=1e-6)

    def test_the_default_sets_are_gensims(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        write_vectors(tmp_path / "v.txt", random_vectors(["old", "new", "smart", "intelligent"], 4))
        assert run("evaluate", tmp_path / "v.txt", "-o", tmp_path / "out") == 0
        printed = capsys.readouterr().out
        assert "SimLex-999" in printed and "WS-353" in printed

    def test_controls_and_counts_come_from_the_run(
        self, tmp_path: Path, wordsim: Path, run_folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        from speech2vec.evaluation.benchmarks import read_benchmarks
        from speech2vec.evaluation.similarity import evaluate_vectors
        from speech2vec.model.encoding import encode_instances
        from speech2vec.vectors.word_vectors import average_instances

        out = tmp_path / "out"
        vectors = run_folder / "vectors.txt"
        assert run("evaluate", vectors, "--wordsim", wordsim, "-o", out, "--device", "cpu") == 0
        printed = capsys.readouterr().out
        assert "SYNTHETIC" in printed
        result = json.loads((out / "evaluation.json").read_text())
        assert result["synthetic"] is True
        assert [model["kind"] for model in result["models"]] == ["file", "untrained", "text", "random"]
        assert [level["min_count"] for level in result["levels"]] == [1, 5]
        first, second = (level["results"]["untrained run"] for level in result["levels"])
        assert (first["n_words"], second["n_words"]) == (30, 20)
        loaded = Run.load(run_folder, trained=False)
        control = average_instances(
            encode_instances(loaded.model, loaded.store), loaded.store.word_id, loaded.store.types
        )
        expected = evaluate_vectors({"u": control}, read_benchmarks(wordsim))["u"]
        assert first["scores"][0]["rho"] == pytest.approx(expected.scores[0].rho, abs=1e-6)
        # By --run the same, for a file that lies elsewhere; and one minimum count only.
        (tmp_path / "copy.txt").write_bytes(vectors.read_bytes())
        arguments = ("evaluate", tmp_path / "copy.txt", "--wordsim", wordsim, "-o", tmp_path / "out2")
        assert run(*arguments, "--run", run_folder, "--min-count", 5) == 0
        other = json.loads((tmp_path / "out2" / "evaluation.json").read_text())
        assert [level["min_count"] for level in other["levels"]] == [5]
        assert other["levels"][0]["results"]["untrained run"]["scores"] == second["scores"]

    def test_a_run_without_its_store(
        self, tmp_path: Path, wordsim: Path, run_folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "store").rename(tmp_path / "moved")
        arguments = ("evaluate", run_folder / "vectors.txt", "--wordsim", wordsim)
        assert run(*arguments, "-o", tmp_path / "a") == 0
        assert "no untrained encoder and no word counts for 'vectors'" in capsys.readouterr().err
        assert run(*arguments, "-o", tmp_path / "b", "--run", run_folder) == 2
        assert run(*arguments, "-o", tmp_path / "c", "--store", tmp_path / "moved") == 0
        result = json.loads((tmp_path / "c" / "evaluation.json").read_text())
        assert "untrained" in [model["kind"] for model in result["models"]]

    def test_runs_of_different_stores_are_counted_by_their_own(
        self, tmp_path: Path, wordsim: Path, run_folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        sentences = [[f"w{i}" for i in range(30)]] + [[f"w{i}" for i in range(5)] for _ in range(5)]
        other = make_run(tmp_path / "other", tmp_path / "other store", sentences)
        text = tmp_path / "text.txt"
        write_vectors(text, random_vectors([f"w{i}" for i in range(30)], 8, seed=2))
        arguments = ("--wordsim", wordsim, "--resamples", 100, "--device", "cpu")

        def words_at_five(*files: Path) -> dict[str, int]:
            out = tmp_path / "out"
            assert run("evaluate", *files, "-o", out, "--force", *arguments) == 0
            level = json.loads((out / "evaluation.json").read_text())["levels"][1]
            return {name: result["n_words"] for name, result in level["results"].items() if "random" not in name}

        kept = words_at_five(run_folder / "vectors.txt", other / "vectors.txt", text)
        assert kept == {
            "run/vectors": 20,
            "other/vectors": 5,
            f"{tmp_path.name}/text": 30,
            "untrained run": 20,
            "untrained other": 5,
            "text vectors 1": 20,
            "text vectors 2": 5,
        }
        warned = "is of no run, and the runs are of different corpora"
        assert warned in capsys.readouterr().err
        assert words_at_five(run_folder / "vectors.txt", text) == {
            "vectors": 20,
            "text": 20,
            "untrained run": 20,
            "text vectors": 20,
        }
        assert warned not in capsys.readouterr().err

    def test_faults(self, tmp_path: Path, wordsim: Path, capsys: pytest.CaptureFixture[str]) -> None:
        good = tmp_path / "v.txt"
        write_vectors(good, random_vectors(["a", "b"], 4))
        (tmp_path / "lies.txt").write_text("5 2\na 1 2\n")
        out = tmp_path / "out"
        assert run("evaluate", tmp_path / "lies.txt", "-o", out) == 2
        assert "the header promises 5 words" in capsys.readouterr().err
        assert run("evaluate", good, "--min-count", 5, "-o", out) == 2
        assert "--min-count needs the word counts of a run" in capsys.readouterr().err
        (wordsim / "bad.txt").write_text("a b 1\na b\n")
        assert run("evaluate", good, "--wordsim", wordsim, "-o", out) == 2
        assert "bad.txt, line 2" in capsys.readouterr().err
        assert not out.exists()
        out.mkdir()
        (out / "mine").touch()
        assert run("evaluate", good, "-o", out) == 2
        assert "--force replaces it" in capsys.readouterr().err
        assert (out / "mine").exists()

    def test_the_same_file_twice(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        write_vectors(tmp_path / "v.txt", random_vectors(["a", "b"], 4))
        assert run("evaluate", tmp_path / "v.txt", tmp_path / "v.txt", "-o", tmp_path / "out") == 2
        assert "given twice" in capsys.readouterr().err

    def test_neighbours(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        write_vectors(tmp_path / "v.txt", random_vectors(["cat", "dog", "sun"], 4))
        assert run("neighbours", tmp_path / "v.txt", "cat", "SUN", "-n", 1) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].startswith("cat: ") and lines[1].startswith("SUN: ")
        assert run("neighbours", tmp_path / "v.txt", "cat", "moon") == 1
        assert "'moon' is not among the 3 words" in capsys.readouterr().err
        assert run("neighbours", tmp_path / "v.txt", "moon") == 2

    def test_find_run(self, run_folder: Path, tmp_path: Path) -> None:
        assert find_run(run_folder / "vectors.txt") == run_folder
        assert find_run(run_folder / "evaluation" / "vectors.txt") == run_folder
        assert find_run(tmp_path / "vectors.txt") is None


def test_vectors_of_any_kind_are_scored_alike(tmp_path: Path, wordsim: Path) -> None:
    vectors = random_vectors([f"w{i}" for i in range(30)], 8)
    write_vectors(tmp_path / "file.txt", vectors)
    given = {"file": tmp_path / "file.txt", "here": vectors, "gensim": vectors.to_keyed_vectors()}
    evaluation = evaluate(given, wordsim=wordsim, resamples=100)
    (level,) = evaluation.levels
    assert [model.name for model in evaluation.models] == [*given, RANDOM]
    assert level.results["file"] == level.results["here"] == level.results["gensim"]
    # One alone, and several without names.
    alone = evaluate(vectors, wordsim=wordsim, resamples=100).levels[0].results["vectors 1"]
    assert alone.scores == level.results["here"].scores
    assert [model.name for model in evaluate([vectors, tmp_path / "file.txt"], resamples=10).models] == [
        "vectors 1",
        "file",
        RANDOM,
    ]


@pytest.mark.parametrize("name", [RANDOM, "text vectors", "text vectors 2", "untrained run"])
def test_a_model_is_not_named_as_a_control(name: str, run_folder: Path, wordsim: Path) -> None:
    opened = Run.load(run_folder, trained=False)
    vectors = random_vectors([f"w{i}" for i in range(30)], 8)
    with pytest.raises(UserError, match="as a control is: give them another name"):
        evaluate({name: vectors}, run=opened, wordsim=wordsim, resamples=100)


def test_one_minimum_count_is_a_number(run_folder: Path, wordsim: Path) -> None:
    vectors = random_vectors([f"w{i}" for i in range(30)], 8)
    found = evaluate(vectors, run=run_folder, wordsim=str(wordsim), min_count=2, resamples=100)
    assert [level.min_count for level in found.levels] == [2]
    with pytest.raises(UserError, match="no vectors are given"):
        evaluate([], wordsim=wordsim)


def test_an_evaluation_is_read_back_as_it_was_written(tmp_path: Path, run_folder: Path, wordsim: Path) -> None:
    opened = Run.load(run_folder, trained=False)
    vectors = random_vectors([f"w{i}" for i in range(30)], 8)
    evaluation = evaluate(vectors, run=opened, wordsim=wordsim, resamples=100)
    assert [model.kind for model in evaluation.models] == ["file", "untrained", "text", "random"]
    evaluation.save(tmp_path / "out")
    assert read_evaluation(tmp_path / "out" / "evaluation.json") == evaluation
    assert "SYNTHETIC" in str(evaluation) and "Headline" in str(evaluation)


def test_random_vectors_are_compared_over_the_pairs_that_all_models_cover() -> None:
    names = [f"w{i}" for i in range(30)]
    benchmark = Benchmark("x", [(a, b) for a in names[:10] for b in names[10:]], np.arange(200.0))
    models = [NamedVectors(name, "file", random_vectors(names[:n], 6)) for name, n in (("all", 30), ("some", 25))]
    (level,) = evaluate_levels(models, [benchmark], resamples=10)
    covered = {
        name: (result.scores[0].n_covered, result.common_scores[0].n_covered) for name, result in level.results.items()
    }
    assert covered == {"all": (200, 150), "some": (150, 150), RANDOM: (200, 150)}


def test_keep_frequent_leaves_words_that_the_corpus_lacks() -> None:
    vectors = random_vectors(["often", "rare", "elsewhere"], 3)
    kept = keep_frequent(vectors, {"often": 7, "rare": 2}, 5)
    assert kept.words == ["often", "elsewhere"]
    np.testing.assert_array_equal(kept["elsewhere"], vectors["elsewhere"])
    assert only_words(vectors, ["rare", "nowhere"]).words == ["rare"]


def test_distinct_names() -> None:
    assert distinct_names([Path("a/x.txt"), Path("b/y.bin")]) == ["x", "y"]
    assert distinct_names([Path("a/x.txt"), Path("b/x.txt")]) == ["a/x", "b/x"]
    assert distinct_names([Path("a/x.txt"), Path("a/x.bin")]) == ["a/x.txt", "a/x.bin"]
