"""Settings: pydantic models filled from a TOML file and from ``--set key.sub=value``, and their fingerprint.

A setting changes the result. How a command is executed (jobs, device, quiet) is an option of the command and never
part of a fingerprint. A setting of how to compute is excluded (`Field(exclude=True)`): it stays out of fingerprints,
differences and files.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import tomli_w
from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import require_file, shortened

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class Settings(BaseModel):
    """Base class of all settings: frozen, type-checked, without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _reject_bool_for_number(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool) and info.field_name:  # pydantic would read true as 1
            annotation = cls.model_fields[info.field_name].annotation
            if {int, float} & {annotation, *get_args(annotation)} and bool not in get_args(annotation):
                raise ValueError("must be a number")
        if isinstance(value, int) and abs(value) >= 1 << 63:  # no library that computes takes it
            raise ValueError("is too large a number")
        return value


S = TypeVar("S", bound=Settings)

_LONGEST_OVERRIDE, _DEEPEST_KEY = 1000, 10  # of --set: longer ones are mistakes, and cost parsers their stack

_SHOWN = 5  # invalid settings in a message


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; a `UserError` names the file that is missing or invalid."""
    try:
        text = require_file(path).read_text(encoding="utf-8")
        if any(part.count(".") > 5 * _DEEPEST_KEY for part in re.split("[=,\n]", text)):
            raise RecursionError  # of a key, whose parts cost the parser memory with their square
        return tomllib.loads(text)
    except OSError as error:
        raise UserError(f"settings file {path} cannot be read: {error.strerror}") from error
    except RecursionError as error:
        raise UserError(f"settings file {path} is nested too deeply") from error
    except ValueError as error:
        raise UserError(f"settings file {path} is not valid TOML: {error}") from error


def parse_override(text: str) -> tuple[list[str], Any]:
    """``model.vector_size=100`` -> (["model", "vector_size"], 100); a value that is not TOML is a string."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UserError(f"--set takes key=value (for example model.vector_size=100), not {shortened(text)}")
    if len(text) > _LONGEST_OVERRIDE or key.count(".") > _DEEPEST_KEY:
        raise UserError(f"--set {shortened(text)} is too long: put it into a TOML file (--config)")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except RecursionError as error:
        raise UserError(f"--set {shortened(text)} is nested too deeply") from error
    except ValueError:  # not TOML
        parsed = value.strip()
    return [part.strip() for part in key.split(".")], parsed


def _merge(base: dict[str, Any], update: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in update.items():
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
    changes: Mapping[str, Any] | None = None,
) -> S:
    """Build settings of `kind` from the sources of `setting_values`.

    Raises
    ------
    UserError
        Naming every key that is unknown or has a value of the wrong type.
    """
    return validate_settings(kind, setting_values(file, overrides, preset, given, changes))


def setting_values(
    file: Path | None = None,
    overrides: Sequence[str] = (),
    preset: Mapping[str, Any] | None = None,
    given: Mapping[str, Any] | None = None,
    changes: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What `preset`, `file`, `given`, `changes` and `overrides` say, as nested mappings; later sources win.

    Parameters
    ----------
    file : Path or None
        A TOML file (``--config``).
    overrides : sequence of str
        Strings ``key.sub=value`` (``--set``).
    preset : mapping or None
    given : mapping or None
        Values of a command's own options, by dotted key; None where the option was not given.
    changes : mapping or None
        Values by dotted key, None as any other.
    """
    values: dict[str, Any] = dict(preset or {})
    if file is not None:
        values = _merge(values, read_toml(file))
    chosen = [(key, value) for key, value in (given or {}).items() if value is not None]
    chosen += (changes or {}).items()
    for keys, value in [*((key.split("."), value) for key, value in chosen), *map(parse_override, overrides)]:
        nested: Any = value
        for key in reversed(keys):
            nested = {key: nested}
        values = _merge(values, nested)
    return values


def narrowed(kind: type[S], settings: Settings, **changes: Any) -> S:
    """The settings of a base class of those given, with `changes`."""
    return kind(**{**{name: getattr(settings, name) for name in kind.model_fields}, **changes})


def validate_settings(kind: type[S], values: Mapping[str, Any], prefix: str = "") -> S:
    """`values` as settings of `kind`; a `UserError` names every invalid key, behind `prefix`."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        problems = []
        for item in error.errors():
            key = shortened(prefix + ".".join(str(part) for part in item["loc"]) or kind.__name__)
            if item["type"] == "extra_forbidden":
                problems.append(f"unknown setting {key}")
            else:
                problems.append(f"setting {key}: {item['msg']} (got {shortened(item['input'])})")
        if len(problems) > _SHOWN:
            problems[_SHOWN:] = [f"and {len(problems) - _SHOWN} more"]
        raise UserError("; ".join(problems)) from error


def fingerprint(settings: Settings | Mapping[str, Any]) -> str:
    """Hash of the settings: 12 hexadecimal digits of the SHA-256 of their canonical JSON."""
    values = settings.model_dump(mode="json") if isinstance(settings, Settings) else settings
    canonical = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def differences(before: Settings, now: Settings) -> list[str]:
    """The settings that differ between two instances of one class, each as ``key.sub 1, not 2``.

    Of those that only one of them has (of another method) the key is named.
    """
    return list(_differing(before.model_dump(mode="json"), now.model_dump(mode="json")))


def _differing(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key in {**now, **before}:
        if key not in before or key not in now:
            yield prefix + key
        elif isinstance(old := before[key], Mapping) and isinstance(new := now[key], Mapping):
            yield from _differing(old, new, f"{prefix}{key}.")
        elif before[key] != now[key]:
            yield f"{prefix}{key} {_shown(before[key])}, not {_shown(now[key])}"


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def to_toml(settings: Settings) -> str:
    """Settings as TOML for `read_toml`. None, which TOML lacks, is left out: where it is allowed, it is the default."""
    return tomli_w.dumps(settings.model_dump(mode="json", exclude_none=True))
