"""Settings: pydantic models filled from a TOML file and from ``--set key.sub=value``, and their fingerprint.

Only what changes the result is a setting; how it is executed (jobs, device, quiet) is an option of the command
and never enters a fingerprint. A setting that says how is excluded (`Field(exclude=True)`): it is left out of
fingerprints, of differences and of what is written.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from speech2vec.runtime.errors import UserError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class Settings(BaseModel):
    """Base of all settings: frozen, unknown keys refused, types checked."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    @field_validator("*", mode="before")
    @classmethod
    def _truth_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool) and info.field_name:
            kind = cls.model_fields[info.field_name].annotation
            if {int, float} & {kind, *get_args(kind)} and bool not in get_args(kind):
                raise ValueError("a number is needed")
        return value


S = TypeVar("S", bound=Settings)


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file, or say in one line what is wrong with it."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"settings file {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"settings file {path} is not valid TOML: {error}") from error


def parse_override(text: str) -> tuple[list[str], Any]:
    """``model.vector_size=100`` -> (["model", "vector_size"], 100); a value that is no TOML is a string."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UserError(f"--set takes key=value (for one, model.vector_size=100), not '{text}'")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    return [part.strip() for part in key.split(".")], parsed


def _merge(base: dict[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in more.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = _merge(dict(merged[key]), value)
        else:
            merged[key] = value
    return merged


def load_settings(
    kind: type[S],
    file: Path | None = None,
    overrides: Sequence[str] = (),
    preset: Mapping[str, Any] | None = None,
    given: Mapping[str, Any] | None = None,
) -> S:
    """Settings of `kind`: its defaults, then `preset`, then `file`, then `given`, then `overrides`.

    Parameters
    ----------
    kind : type of Settings
    file : Path or None
        A TOML file (``--config``).
    overrides : sequence of str
        Texts ``key.sub=value`` (``--set``).
    preset : mapping or None
    given : mapping or None
        Settings that a command has options of its own for, by their dotted keys; None where the option was not given.

    Raises
    ------
    UserError
        One line that names the key that is unknown or of the wrong type.
    """
    values: dict[str, Any] = dict(preset or {})
    if file is not None:
        values = _merge(values, read_toml(file))
    chosen = [(key.split("."), value) for key, value in (given or {}).items() if value is not None]
    for keys, value in [*chosen, *map(parse_override, overrides)]:
        nested: Any = value
        for key in reversed(keys):
            nested = {key: nested}
        values = _merge(values, nested)
    return validate_settings(kind, values)


def validate_settings(kind: type[S], values: Mapping[str, Any]) -> S:
    """`values` as settings of `kind`, or a `UserError` naming every key at fault."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        faults = []
        for item in error.errors():
            key = ".".join(str(part) for part in item["loc"]) or kind.__name__
            if item["type"] == "extra_forbidden":
                faults.append(f"unknown setting '{key}'")
            else:
                faults.append(f"setting '{key}': {item['msg']} (got {item['input']!r})")
        raise UserError("; ".join(faults)) from error


def fingerprint(settings: Settings | Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits that are equal exactly when the settings are."""
    values = settings.model_dump(mode="json") if isinstance(settings, Settings) else settings
    canonical = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def differences(before: Settings, now: Settings) -> list[str]:
    """What differs between two settings of a kind, as ``key.sub 1, not 2``."""
    return [f"{key} {_toml_value(old)}, not {_toml_value(new)}" for key, old, new in _differing(before, now)]


def _differing(before: Settings, now: Settings, within: str = "") -> Iterator[tuple[str, Any, Any]]:
    for key, field in type(now).model_fields.items():
        if field.exclude:
            continue
        old, new = getattr(before, key), getattr(now, key)
        if isinstance(old, Settings) and isinstance(new, Settings):
            yield from _differing(old, new, f"{within}{key}.")
        elif old != new:
            yield within + key, old, new


def _toml_value(value: Any) -> str:
    if isinstance(value, float):
        return repr(value)  # with a point or an exponent, and inf and nan, as in TOML
    if isinstance(value, list):
        return f"[{', '.join(map(_toml_value, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_toml_key(k)} = {_toml_value(v)}' for k, v in value.items() if v is not None)}}}"
    # What JSON escapes is a TOML string's escape as well; TOML wants one more.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _toml_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _toml_value(key)


def to_toml(settings: Settings) -> str:
    """Settings as TOML that `read_toml` gives back; None is left out (it is the default where it is allowed)."""
    plain: list[str] = []
    tables: list[str] = []
    for key, value in settings.model_dump(mode="json").items():
        if isinstance(value, dict):
            lines = [f"{_toml_key(k)} = {_toml_value(v)}" for k, v in value.items() if v is not None]
            tables.append("\n".join([f"\n[{_toml_key(key)}]", *lines]))
        elif value is not None:
            plain.append(f"{_toml_key(key)} = {_toml_value(value)}")
    return "\n".join([*plain, *tables]) + "\n"
