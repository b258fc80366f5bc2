"""Settings from files and the command line: what is wrong is named, and what is written is read again."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from speech2vec.features.mfcc import MfccSettings
from speech2vec.runtime.config import Settings, fingerprint, load_settings, narrowed, parse_override, read_toml, to_toml
from speech2vec.runtime.errors import UserError


class Inner(Settings):
    size: int = Field(3, ge=1)
    rate: float = 0.5
    cell: Literal["lstm", "gru"] = "lstm"


class Outer(Settings):
    name: str = "x"
    on: bool = True
    limit: float | None = None
    layers: list[int] = Field(default_factory=lambda: [1, 2])
    weights: dict[str, float] = Field(default_factory=dict)
    inner: Inner = Inner()


finite = st.floats(allow_nan=False, allow_infinity=False)
outers = st.builds(
    Outer,
    name=st.text(st.characters(exclude_categories=["Cs"])),
    on=st.booleans(),
    limit=st.none() | finite,
    layers=st.lists(st.integers(-(2**62), 2**62)),
    weights=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), finite, max_size=3),
    inner=st.builds(Inner, size=st.integers(1, 2**40), rate=finite, cell=st.just("gru")),
)


@given(outers)
def test_settings_survive_toml(settings: Outer) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.toml"
        file.write_text(to_toml(settings), encoding="utf-8", newline="")
        again = load_settings(Outer, file)
    assert again == settings
    assert fingerprint(again) == fingerprint(settings)


@given(st.text())
def test_any_override_is_parsed_or_refused(text: str) -> None:
    try:
        keys, _ = parse_override(text)
    except UserError as error:
        assert "--set takes key=value" in str(error)
    else:
        assert ".".join(keys).strip() and "=" in text


@given(st.binary(max_size=40))
def test_any_file_is_read_or_refused_by_name(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.toml"
        file.write_bytes(content)
        try:
            read_toml(file)
        except UserError as error:
            assert str(file) in str(error)


def test_the_later_wins(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('name = "file"\n[inner]\nsize = 5\nrate = 0.1\n')
    preset = {"name": "preset", "on": False}
    settings = load_settings(Outer, file, ["inner.rate=2", "inner.cell=gru"], preset)
    assert settings == Outer(name="file", on=False, inner=Inner(size=5, rate=2.0, cell="gru"))
    given = {"inner.size": 7, "inner.rate": 3.0, "name": None}  # options of the command, the last of them not given
    settings = load_settings(Outer, file, ["inner.rate=2", "inner.cell=gru"], preset, given)
    assert settings == Outer(name="file", on=False, inner=Inner(size=7, rate=2.0, cell="gru"))


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["nam=1"], "unknown setting 'nam'"),
        (["inner.siz=1"], "unknown setting 'inner.siz'"),
        (["inner.size=many"], "setting 'inner.size'"),
        (["inner.size=true"], "setting 'inner.size'"),
        (["inner.size=1.5"], "setting 'inner.size'"),
        (["inner.size=0"], "setting 'inner.size'"),
        (["inner.cell=rnn"], "setting 'inner.cell'"),
        (["inner=3"], "setting 'inner'"),
        (["inner.size.more=3"], "setting 'inner.size'"),
        (["name"], "--set takes key=value"),
        (["=3"], "--set takes key=value"),
        (["nam=1", "inner.size=x"], "unknown setting 'nam'"),
    ],
)
def test_a_wrong_setting_is_named(overrides: list[str], told: str) -> None:
    with pytest.raises(UserError) as caught:
        load_settings(Outer, None, overrides)
    assert told in str(caught.value)


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read: No such file"):
        load_settings(Outer, tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("name = ")
    with pytest.raises(UserError, match=r"bad\.toml is not valid TOML"):
        load_settings(Outer, tmp_path / "bad.toml")


def test_fingerprint_is_that_of_the_values_alone() -> None:
    assert fingerprint(MfccSettings()) == fingerprint(MfccSettings(fmin=20)) == fingerprint(MfccSettings().model_dump())
    assert fingerprint(MfccSettings()) != fingerprint(MfccSettings(fmin=20.5))
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Outer().name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    "override",
    [
        "inner.size=" + "9" * 5000,
        "inner.size=0x" + "f" * 5000,
        "inner.size=" + "9" * 900,
        "inner.size=" + "[" * 5000,
        "inner.size=" + "[" * 900 + "]" * 900,
        "inner.size=" + "[" * 490 + "]" * 490,
        "inner." * 5000 + "size=1",
        "x" * 5000,
        "x" * 900 + "=1",
        "inner.size='" + "x" * 900 + "'",
    ],
)
def test_no_override_is_echoed_whole_or_ends_in_a_traceback(override: str) -> None:
    with pytest.raises(UserError) as refused:
        load_settings(Outer, overrides=[override])
    assert len(str(refused.value)) < 300 and "\n" not in str(refused.value)


def test_a_settings_file_nested_too_deeply(tmp_path: Path) -> None:
    texts = [f"[inner]\nsize = {value}" for value in ("[" * 100_000, "9" * 5000, "0x" + "f" * 5000)]
    for text in (*texts, f"[inner{'.a' * 20_000}]\nsize = 1"):  # of the last a parser would make 1.6 GB
        (tmp_path / "a.toml").write_text(text)
        with pytest.raises(UserError) as refused:
            load_settings(Outer, tmp_path / "a.toml")
        assert len(str(refused.value)) < 300 + len(str(tmp_path))


@pytest.mark.parametrize("value", ["inf", "-inf", "nan"])
def test_numbers_are_finite(value: str) -> None:
    with pytest.raises(UserError, match=r"setting 'inner\.rate': .*finite"):
        load_settings(Outer, None, [f"inner.rate={value}"])


def test_none_is_a_value_of_changes_and_no_option_given() -> None:
    preset = {"limit": 3.0}
    assert load_settings(Outer, preset=preset, given={"limit": None}).limit == 3.0
    assert load_settings(Outer, preset=preset, changes={"limit": None}).limit is None
    assert load_settings(Outer, preset=preset, given={"inner.size": 2}, changes={"inner.size": 4}).inner.size == 4


def test_the_settings_of_a_base_class_alone_are_taken() -> None:
    class More(Inner):
        more: int = 1

    assert narrowed(Inner, More(size=7), cell="gru") == Inner(size=7, cell="gru")
