"""The reproduction runs from end to end on real speech, in shards and out of two subsets."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from gensim.models import KeyedVectors

from scripts.chain import Chain
from scripts.run_librispeech import align, command, select
from speech2vec.corpus.manifest import read_utterances
from speech2vec.runtime.errors import UserError

pytestmark = [pytest.mark.corpus, pytest.mark.slow, pytest.mark.usefixtures("in_process")]

UTTERANCES = 15  # of each chapter


@pytest.fixture(scope="module")
def small(librispeech: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One chapter each of two speakers of one subset, two utterances of another."""
    root = tmp_path_factory.mktemp("corpus") / "LibriSpeech"
    dev, train = librispeech / "dev-clean", librispeech / "train-clean-100"
    for speaker in ("1272", "84"):
        chapter = sorted((dev / speaker).iterdir())[0]
        copied = shutil.copytree(chapter, root / "dev-clean" / speaker / chapter.name)
        for recording in sorted(path for path in copied.iterdir() if path.suffix != ".txt")[UTTERANCES:]:
            recording.unlink()
        for transcripts in copied.glob("*.txt"):
            lines = transcripts.read_text().splitlines(keepends=True)
            transcripts.write_text("".join(lines[:UTTERANCES]))
    for folder in sorted(path for path in train.iterdir() if path.name != "8226")[:2]:
        shutil.copytree(folder, root / "train-clean-100" / folder.name)
    return root


def test_end_to_end_from_imported_alignments(small: Path, test_data: Path, tmp_path: Path) -> None:
    alignments = test_data / "librispeech" / "alignments"
    for sizes in ([4], [4, 6]):  # the second call goes on from what is there
        command(
            small,
            tmp_path / "out",
            subset=["dev-clean", "train-clean-100"],
            alignments=alignments,
            vector_size=sizes,
            epochs=1,
            min_count=1,
        )
    out = tmp_path / "out"
    asked = len(read_utterances(out / "corpus.jsonl"))
    report = json.loads((out / "aligned" / "report.json").read_text())
    assert (out / "speech2vec-4" / "same-different.json").exists()
    assert asked == report["asked"] > 20 and report["aligned"] == asked
    for size in (4, 6):
        for path in (out / f"speech2vec-{size}" / "vectors.txt", out / f"word2vec-{size}.txt"):
            assert KeyedVectors.load_word2vec_format(str(path)).vector_size == size
    levels = json.loads((out / "evaluation" / "evaluation.json").read_text())["levels"]
    assert {"random (100 draws)"} < levels[0]["results"].keys() and len(levels[0]["results"]) >= 5
    assert (out / "comparison.html").stat().st_size > 10_000


def test_shards_are_joined(small: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    for shard in ("1/2", "2/2"):
        command(small, out, subset=["dev-clean"], shard=shard)
    assert "run again without --shard" in capfd.readouterr().out
    aligned = align(Chain(out), select(small, ["dev-clean"], out), None, "pocketsphinx", None)  # what follows: above
    assert aligned == out / "aligned"
    report = json.loads((out / "aligned" / "report.json").read_text())
    assert report["asked"] == len(list(small.glob("dev-clean/**/*.mp3"))) and report["aligned"] > 0.9 * report["asked"]


def test_imported_alignments_are_not_shared_out(small: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--shard"):
        command(small, tmp_path / "out", alignments=tmp_path, shard="1/2")
    assert not (tmp_path / "out").exists()


def test_an_unknown_subset_is_named_with_what_is_there(small: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no subset 'dev-other'; it has dev-clean, train-clean-100"):
        select(small, ["dev-other"], tmp_path)
