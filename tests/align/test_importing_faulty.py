"""Import of faulty files of every format: each utterance ends in exactly one place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from alignments import run, utterance, write_textgrid
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from align.aligned import write_aligned
from align.base import Aligned, Failure, Reason, check_results
from align.formats.recognise import READERS
from align.importing import ImportSettings, Tally, read_alignments
from speech2vec.corpus.manifest import Utterance

names = st.text(st.sampled_from("ab-/_."), min_size=1, max_size=6).filter(
    lambda name: all(part and part.strip(".") and not part.startswith(".") for part in name.split("/"))
)
# Start, end and word as a file spells them; mostly times that can be.
spelled = st.sampled_from(["0", "0.5", "1.5", "2", "3", "NaN", "-1", "1e999", "x", ""])
rows = st.lists(st.tuples(spelled, spelled, st.sampled_from(["one", "two", "<unk>", "one two", '"', ""])), max_size=4)
Rows = list[tuple[str, str, str]]


def textgrid_text(rows: Rows) -> str:
    head = f'"ooTextFile"\n"TextGrid"\n0 5 <exists> 1\n"IntervalTier" "words" 0 5 {len(rows)}\n'
    return head + "\n".join(f'{start} {end} "{word}"' for start, end, word in rows)


# Of each format: the text of a file about several utterances; where it names none, about the first.
WRITTEN: dict[str, Callable[[dict[str, Rows]], str]] = {
    "textgrid": lambda said: textgrid_text(next(iter(said.values()))),
    "alignment.txt": lambda said: "".join(
        f'{name} "{",".join(row[2] for row in rows)}" "{",".join(row[1] for row in rows)}"\n'
        for name, rows in said.items()
    ),
    "ctm": lambda said: "".join(
        f"{name} 1 {start} {end} {word} 0.5\n" for name, rows in said.items() for start, end, word in rows
    ),
    "wdseg": lambda said: (
        "SFrm EFrm SegAScr Word\n"
        + "".join(f"{start} {end} -100 {word}\n" for start, end, word in next(iter(said.values())))
    ),
    "mfa-json": lambda said: (
        '{"tiers": {"words": {"entries": ['
        + ",".join(f'[{start}, {end}, "{word}"]' for start, end, word in next(iter(said.values())))
        + "]}}}"
    ),
    "csv": lambda said: (
        "utterance_id,word,start,end,score\n"
        + "".join(f"{name},{word},{start},{end},0.5\n" for name, rows in said.items() for start, end, word in rows)
    ),
    "whisper": lambda said: (
        '{"words": ['
        + ",".join(
            f'{{"word": "{word}", "start": {start}, "end": {end}}}' for start, end, word in next(iter(said.values()))
        )
        + "]}"
    ),
}


def test_a_good_file_of_each_format_is_read(tmp_path: Path) -> None:
    """What the next test damages is an alignment in the first place."""
    assert set(WRITTEN) == set(READERS)
    for kind, written in WRITTEN.items():
        (tmp_path / "x").write_text(written({"x": [("0", "1", "one"), ("1", "2", "two")]}))
        outcome = run([utterance("x")], tmp_path / "x")["x"]
        assert isinstance(outcome, Aligned), kind
        assert [word.word for word in outcome.words] == ["one", "two"]


@pytest.mark.parametrize("kind", READERS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ids=st.lists(names, min_size=1, max_size=5, unique=True), data=st.data())
def test_every_utterance_ends_in_exactly_one_place(
    kind: str, ids: list[str], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("hostile")
    some_name = st.one_of(st.sampled_from(ids), names)
    for number in range(data.draw(st.integers(0, 4))):
        stem = data.draw(some_name).strip("/")
        suffix = data.draw(st.sampled_from([".ctm", ".txt", ".TextGrid", ".wdseg"]))
        path = folder / f"{number if data.draw(st.booleans()) else ''}" / f"{stem}{suffix}"
        if any(parent.is_file() for parent in path.parents) or path.is_dir():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        text = WRITTEN[kind](data.draw(st.dictionaries(some_name, rows, min_size=1, max_size=3)))
        if data.draw(st.booleans()):
            cut = data.draw(st.integers(0, len(text)))
            text = text[:cut] + data.draw(st.one_of(st.just(""), st.text(max_size=20).map(lambda more: f"\n{more}")))
        path.write_text(text, encoding="utf-8")
    write_textgrid(folder / f"{ids[0]}.TextGrid", "one", "two")
    shared = data.draw(st.booleans())
    corpus = [
        Utterance(
            name, Path("/c/all.wav") if shared else Path(f"/c/{name}.wav"), "one two", "s", float(k) if shared else None
        )
        for k, name in enumerate(ids)
    ]
    # Most files go by another format's rules, if one is given for all.
    given = ImportSettings(format=data.draw(st.sampled_from([None, None, "textgrid"])))
    outcomes = list(check_results(corpus, read_alignments(corpus, folder, given, Tally())))
    assert sorted(outcome.utterance_id for outcome in outcomes) == sorted(ids)
    assert not [o for o in outcomes if isinstance(o, Failure) and o.reason is Reason.ALIGNER_FAILED]
    report = write_aligned(folder / "aligned", corpus, outcomes)
    assert report["asked"] == report["aligned"] + len(report["failed"]) == len(ids)
