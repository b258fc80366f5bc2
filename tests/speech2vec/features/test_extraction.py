"""From ALIGNED to a store: the right frames for each word, whatever format it has, whatever is broken."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile as sf
from aligned_folders import RATE, SETTINGS, Program, change_words, one_error, speechlike
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy.signal import resample

from speech2vec.corpus import audio
from speech2vec.corpus.manifest import Utterance, Word, write_utterances, write_words
from speech2vec.features import frontend
from speech2vec.features.extraction import extract, merge
from speech2vec.features.frontend import FrontEnd
from speech2vec.features.mfcc import MfccSettings, mfcc
from speech2vec.features.parts import Plan, cut_words
from speech2vec.features.store import Store
from speech2vec.runtime.errors import UserError


def slow_store(aligned: Path, settings: MfccSettings) -> tuple[list[np.ndarray], list[str]]:
    """Raw frames of each word by a loop over frames, and the group that it is normalised with."""
    lines = (aligned / "utterances.jsonl").read_text().splitlines()
    utterances = {row["utterance_id"]: row for row in map(json.loads, lines)}
    segments, groups = [], []
    for row in pq.read_table(aligned / "words.parquet").to_pylist():
        utterance = utterances[row["utterance_id"]]
        frames = mfcc(audio.load(Path(utterance["audio"])), settings)
        chosen = [f for f in range(len(frames)) if row["start"] - 1e-6 <= f * 0.01 < row["end"] - 1e-6]
        segments.append(frames[chosen].astype(np.float64))
        by = {"speaker": utterance["speaker"], "utterance": utterance["utterance_id"]}
        groups.append(by.get(settings.normalise, "all"))
    return segments, groups


@pytest.mark.parametrize("normalise", ["speaker", "utterance", "corpus", "none"])
def test_every_word_has_its_frames_normalised(tmp_path: Path, aligned: Path, small_parts: None, normalise: str) -> None:
    settings = MfccSettings.model_validate({"normalise": normalise})
    result = extract(aligned, tmp_path / "store", settings, quiet=True)
    store = Store.open(tmp_path / "store")
    segments, groups = slow_store(aligned, settings)
    assert store.n_words == len(segments) == result.n_words
    assert result.n_frames == sum(map(len, segments)) == len(store.frames)
    for i, segment in enumerate(segments):
        if normalise != "none":
            pooled = np.concatenate([s for s, group in zip(segments, groups, strict=True) if group == groups[i]])
            segment = (segment - pooled.mean(axis=0)) / pooled.std(axis=0)
        np.testing.assert_allclose(store.segment(i), segment, atol=2e-4)
    if normalise in ("speaker", "corpus"):
        assert sorted(store.meta["normalisation"]) == sorted({g if g != "all" else "corpus" for g in groups})


def test_rows_follow_the_aligned_words(tmp_path: Path, aligned: Path, small_parts: None) -> None:
    extract(aligned, tmp_path / "store", SETTINGS, quiet=True)
    rows = pq.read_table(tmp_path / "store" / "words.parquet").to_pylist()
    given_rows = pq.read_table(aligned / "words.parquet").to_pylist()
    assert [{key: row[key] for key in given_rows[0]} for row in rows] == given_rows
    assert {row["utterance_id"]: row["speaker"] for row in rows}["u0002"] == "s1"
    n_frames = [row["n_frames"] for row in rows]
    assert [row["first_frame"] for row in rows] == [0, *np.cumsum(n_frames)[:-1].tolist()]


def test_a_constant_coefficient_does_not_explode(tmp_path: Path, aligned: Path) -> None:
    for file in aligned.glob("*.flac"):
        sf.write(file, np.zeros(RATE), RATE)
    extract(aligned, tmp_path / "store", SETTINGS, quiet=True)
    assert np.abs(Store.open(tmp_path / "store").frames).max() < 1e-3


def test_a_coefficient_that_hardly_varies_does_not_explode(
    tmp_path: Path, aligned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def first_all_but_constant(samples: np.ndarray, settings: MfccSettings) -> np.ndarray:
        frames = mfcc(samples, settings)
        frames[:, 0] = 7 + 2e-5 * (-1.0) ** np.arange(len(frames))
        return frames

    monkeypatch.setattr(frontend, "mfcc", first_all_but_constant)
    extract(aligned, tmp_path / "store", MfccSettings(normalise="corpus"), quiet=True)
    frames = Store.open(tmp_path / "store").frames
    assert np.abs(frames[:, 0]).max() < 1e-4
    np.testing.assert_allclose(frames[:, 1:].std(axis=0), 1, rtol=1e-3)


times = st.lists(st.tuples(st.floats(-0.05, 1.2), st.floats(0, 0.5)), min_size=1, max_size=8)


@hypothesis_settings(max_examples=60)
@given(times, st.floats(0.1, 1.0), st.sampled_from([None, 0.25]))
def test_any_word_is_inside_with_frames_or_outside_without(
    tmp_path_factory: pytest.TempPathFactory, spans: list[tuple[float, float]], seconds: float, offset: float | None
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.wav"
    sf.write(file, speechlike(seconds + (offset or 0), 1), RATE)
    shift = offset or 0.0
    start = np.array([start for start, _ in spans])
    end = start + np.array([length for _, length in spans])
    cut = cut_words(Utterance("u", file, "x", "s", start=offset), start + shift, end + shift, FrontEnd(SETTINGS))
    frames = mfcc(audio.load(file, offset), SETTINGS)
    assert len(cut.frames) == cut.n_frames.sum()
    begin = 0
    for first, last, n in zip(start, end, cut.n_frames, strict=True):
        if 0 <= first < last < seconds - 0.001:
            assert n > 0, "a word inside its audio is never lost"
        if first > seconds + 0.001 or last > seconds + 0.11:
            assert n == 0
        if n:
            word = cut.frames[begin : begin + n]
            nearest, first_centre = round((first + last) / 2 / 0.01), int(np.ceil((first - 1e-6) / 0.01))
            candidates = [max(0, min(nearest, len(frames) - 1) + d) for d in (-1, 0, 1)] if n == 1 else [first_centre]
            assert any(np.array_equal(word, frames[c : c + n]) for c in candidates)
        begin += n


def test_a_word_between_the_last_centre_and_the_end_has_the_last_frame(tmp_path: Path) -> None:
    sf.write(tmp_path / "a.wav", speechlike(1.0, 1)[:15990], RATE)  # the last centre lies at 0.99 s
    cut = cut_words(
        Utterance("u", tmp_path / "a.wav", "x", "s"), np.array([0.9955]), np.array([0.9993]), FrontEnd(SETTINGS)
    )
    assert cut.n_frames.tolist() == [1]


def corrupt(what: str, file: Path) -> str:
    """Break one audio file; returns what is told of it."""
    samples = speechlike(1.0, 0)
    if what == "missing":
        file.unlink()
        return "no such audio file"
    if what == "empty":
        sf.write(file, samples[:0], RATE, format="WAV")
        return "contains no samples"
    if what == "nan":
        samples[100] = np.nan
        sf.write(file, samples, RATE, format="WAV", subtype="FLOAT")
        return "NaN or infinite"
    if what == "huge":
        sf.write(file, samples * np.float32(1e30), RATE, format="WAV", subtype="FLOAT")
        return "samples are too large"
    if what == "text":
        file.write_text("not sound" * 50)
        return "not a readable audio file"
    sf.write(file, samples, RATE, format=what)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    return {"FLAC": "cannot be decoded to the end"}.get(what, "truncated")


@pytest.mark.parametrize("what", ["missing", "empty", "nan", "huge", "text", "WAV", "FLAC", "MP3", "OGG"])
def test_a_broken_file_is_listed_and_the_rest_goes_through(tmp_path: Path, aligned: Path, what: str) -> None:
    told = corrupt(what, aligned / "u0001.flac")
    result = extract(aligned, tmp_path / "store", SETTINGS, quiet=True)
    assert [(f["utterance_id"], f["reason"]) for f in result.failed] == [("u0001", "unreadable audio")]
    assert told in result.failed[0]["detail"]
    store = Store.open(tmp_path / "store")
    assert store.utterance_ids == ["u0000", "u0002", "u0003", "u0004"]
    assert store.meta["failed"] == result.failed


def test_failures_are_printed_and_the_exit_code_is_1(tmp_path: Path, aligned: Path, program: Program) -> None:
    corrupt("FLAC", aligned / "u0001.flac")
    change_words(aligned, lambda words: [*words, Word("u0004", "late", 7.0, 7.5)])
    for extra in ((), ("--resume",)):
        code, out, err = program("features", aligned, "-o", tmp_path / "store", *extra)
        lines = out.splitlines()
        assert (code, err, len(lines)) == (1, "", 3)
        assert lines[0].startswith(f"store {tmp_path / 'store'}: 20 words")
        assert lines[1].startswith("  not (wholly) used: u0001: unreadable audio (")
        assert lines[2].startswith("  not (wholly) used: u0004: words outside audio (1 of 6 words lie outside its 1.00")
        assert lines[2].endswith(": late)")
    for name in range(5):
        (aligned / f"u{name:04d}.flac").write_bytes(b"")
    one_error("no word can be used: ", program("features", aligned, "-o", tmp_path / "none"))
    assert not (tmp_path / "none" / "meta.json").exists()


@pytest.mark.parametrize(
    ("suffix", "rate", "n_channels", "tolerance"),
    [(".wav", 44100, 2, 0.35), (".wav", 22050, 1, 0.35), (".mp3", 16000, 1, 3.0), (".ogg", 16000, 2, 3.0)],
)
def test_other_formats_rates_and_channels_give_the_same_words(
    tmp_path: Path, aligned: Path, suffix: str, rate: int, n_channels: int, tolerance: float
) -> None:
    """Each utterance replaced, under its .flac name, by another encoding of the same sound."""
    settings = MfccSettings(normalise="none", fmax=6000)
    expected = extract(aligned, tmp_path / "flac", settings, quiet=True)
    for file in aligned.glob("*.flac"):
        samples = audio.load(file, sampling_rate=RATE)
        samples = resample(samples, rate) if rate != RATE else samples  # each lasts a second
        other = file.with_suffix(suffix)
        sf.write(other, np.repeat(samples[:, None], n_channels, axis=1), rate)
        other.replace(file)
    result = extract(aligned, tmp_path / "other", settings, quiet=True)
    assert not result.failed
    assert (result.n_words, result.n_frames) == (expected.n_words, expected.n_frames)
    difference = np.abs(Store.open(tmp_path / "flac").frames - Store.open(tmp_path / "other").frames)
    assert np.median(difference) < tolerance / 5
    assert difference.mean() < tolerance


def test_parts_of_files_and_channels(tmp_path: Path) -> None:
    """Utterances that are stretches of one long recording of two speakers, times from the start of the file."""
    left, right = speechlike(3.0, 1), speechlike(3.0, 2)
    sf.write(tmp_path / "call.wav", np.stack([left, right], axis=1), RATE, subtype="FLOAT")
    rows = [("a", 0, 0.5, 1.5), ("b", 1, 1.0, 2.0)]
    utterances = [Utterance(n, tmp_path / "call.wav", "x", n, s, e, channel=c) for n, c, s, e in rows]
    write_utterances(tmp_path / "utterances.jsonl", utterances)
    write_words(tmp_path / "words.parquet", [Word(n, "x", s + 0.3, s + 0.5) for n, _, s, _ in rows])
    extract(tmp_path, tmp_path / "store", MfccSettings(normalise="none"), quiet=True)
    store = Store.open(tmp_path / "store")
    for i, (samples, begin) in enumerate(((left, 0.5), (right, 1.0))):
        frames = mfcc(samples[round(begin * RATE) : round((begin + 1) * RATE)])
        np.testing.assert_allclose(store.segment(i), frames[30:50], atol=1e-4)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda p: write_words(p / "words.parquet", []), "contains no aligned words"),
        (lambda p: (p / "words.parquet").unlink(), "is missing: 'speech2vec-align run'"),
        (lambda p: (p / "words.parquet").write_bytes(b"PAR1"), "is not a readable Parquet file"),
        (lambda p: (p / "utterances.jsonl").unlink(), "cannot be read: No such file"),
        (lambda p: (p / "utterances.jsonl").write_text("{}"), "line 1: 'utterance_id' is missing"),
        (lambda p: (p / "utterances.jsonl").write_bytes(b"\xff"), "is not UTF-8"),
        (lambda p: (p / "utterances.jsonl").write_text(""), "such as 'u0000'"),
        (lambda p: change_words(p, lambda w: [*w[1:], w[0]]), "are not contiguous"),
        (lambda p: change_words(p, lambda w: [w[1], w[0], *w[2:]]), "'u0000' are not in time order"),
        (lambda p: change_words(p, lambda w: [Word("u", "x", float("nan"), 1.0)]), "'start' is not a number"),
    ],
)
def test_an_aligned_folder_that_cannot_be_used(
    tmp_path: Path,
    aligned: Path,
    damage: Callable[[Path], object],
    told: str,
) -> None:
    damage(aligned)
    with pytest.raises(UserError, match=told) as caught:
        extract(aligned, tmp_path / "store", SETTINGS, quiet=True)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "store").exists()


def test_of_long_words_the_first_frames_are_kept_and_their_number_is_said(
    tmp_path: Path, aligned: Path, program: Program
) -> None:
    extract(aligned, tmp_path / "whole", SETTINGS.model_copy(update={"normalise": "none"}), quiet=True)
    code, out, _ = program(
        "features", aligned, "-o", tmp_path / "cut", "--set", "max_frames=4", "--set", "normalise=none", "--quiet"
    )
    whole, cut = Store.open(tmp_path / "whole"), Store.open(tmp_path / "cut")
    longer = int((whole.n_frames > 4).sum())
    assert code == 0 and 0 < longer < whole.n_words
    assert f"{longer} words are longer than max_frames" in out
    assert cut.meta["shortened_words"] == longer and whole.meta["shortened_words"] == 0
    assert np.array_equal(cut.n_frames, np.minimum(whole.n_frames, 4))
    for i in range(whole.n_words):
        assert np.array_equal(cut.segment(i), whole.segment(i)[:4])


def test_short_words_are_counted_among_those_that_are_used(tmp_path: Path, aligned: Path) -> None:
    tick, late = Word("u0004", "tick", 0.98, 0.981), Word("u0004", "late", 7.0, 7.001)  # the second outside its audio
    change_words(aligned, lambda words: [*words, tick, late])
    result = extract(aligned, tmp_path / "store", SETTINGS, quiet=True)
    assert (result.n_words, result.short_words) == (26, 1)
    assert Store.open(tmp_path / "store").meta["short_words"] == 1


def test_a_word_of_exactly_one_frame_is_not_short(tmp_path: Path, aligned: Path) -> None:
    exact = [Word("u0004", "tick", tick / 100, (tick + 1) / 100) for tick in (28, 57, 83)]
    assert any(word.end - word.start < 0.01 for word in exact)  # as far as floating point goes
    change_words(aligned, lambda words: [word for word in words if word.utterance_id != "u0004"] + exact)
    assert extract(aligned, tmp_path / "store", SETTINGS, quiet=True).short_words == 0


def test_a_preset_is_the_features_of_its_source(tmp_path: Path, aligned: Path, program: Program) -> None:
    assert program("features", aligned, "-o", tmp_path / "store", "--preset", "reality-check", "--quiet")[0] == 0
    settings = MfccSettings(**Store.open(tmp_path / "store").settings)
    assert settings.frame_shift == 0.032 and settings.max_frames == 20 and settings.normalise == "corpus"
    one_error(
        "--preset takes default, large-batch, paper, reality-check, not 'published'",
        program("features", aligned, "-o", tmp_path / "other", "--preset", "published"),
    )


def test_synthetic_speech_is_called_so(tmp_path: Path, aligned: Path, small_parts: None) -> None:
    extract(aligned, tmp_path / "real", SETTINGS, quiet=True)
    (aligned / "synthetic.json").write_text("{}")
    extract(aligned, tmp_path / "store", SETTINGS, quiet=True)
    for k in (1, 2):
        extract(aligned, tmp_path / f"shard{k}", SETTINGS, shard=(k, 2), quiet=True)
    shards = [tmp_path / "shard1", tmp_path / "shard2"]
    merge(shards, tmp_path / "merged")
    found = {name: Store.open(tmp_path / name).synthetic for name in ("real", "store", "merged")}
    assert found == {"real": False, "store": True, "merged": True}
    for shard in shards:  # a plan that does not say is of real speech
        plan = json.loads((shard / "parts" / "plan.json").read_text())
        del plan["synthetic"]
        (shard / "parts" / "plan.json").write_text(json.dumps(plan))
    assert not merge(shards, tmp_path / "again").failed and not Store.open(tmp_path / "again").synthetic


def test_a_part_carries_its_own_words_only_to_another_process(aligned: Path, small_parts: None) -> None:
    change_words(aligned, lambda words: [*words, *(Word("u0004", "x" * 20, 1.0, 1.0) for _ in range(20000))])
    plan = Plan(aligned)
    assert len(plan) == 3
    assert len(pickle.dumps(plan.part(0))) < 20_000 < 200_000 < len(pickle.dumps(plan.part(2)))


@pytest.mark.corpus
def test_real_speech(tmp_path: Path, librispeech: Path) -> None:
    """Words of a real alignment, cut by hand from MFCC of the whole file."""
    alignments = librispeech.parent / "alignments" / "train-clean-100"
    files = sorted(alignments.rglob("*.alignment.txt"))[:6]
    utterances, words = [], []
    for file in files:
        for line in file.read_text().splitlines():
            name, said, ends = line.split(" ", 2)
            speaker, chapter, _ = name.split("-")
            recording = librispeech / "train-clean-100" / speaker / chapter / f"{name}.flac"
            if not recording.exists():
                continue
            utterances.append(Utterance(name, recording, "real", speaker))
            edges = [0.0, *map(float, ends.strip().strip('"').split(","))]
            for word, begin, end in zip(said.strip('"').split(","), edges[:-1], edges[1:], strict=True):
                if word:
                    words.append(Word(name, word.lower(), begin, end))
    assert len(words) > 50
    write_utterances(tmp_path / "aligned" / "utterances.jsonl", utterances)
    write_words(tmp_path / "aligned" / "words.parquet", words)
    result = extract(tmp_path / "aligned", tmp_path / "store", SETTINGS, quiet=True)
    assert not result.failed
    store = Store.open(tmp_path / "store")
    segments, groups = slow_store(tmp_path / "aligned", SETTINGS)
    for i, segment in enumerate(segments):
        pooled = np.concatenate([s for s, group in zip(segments, groups, strict=True) if group == groups[i]])
        np.testing.assert_allclose(store.segment(i), (segment - pooled.mean(axis=0)) / pooled.std(axis=0), atol=2e-4)
