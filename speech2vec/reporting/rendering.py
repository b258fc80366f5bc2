"""One self-contained page from a template: style and script inside, nothing loaded from elsewhere."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from speech2vec.runtime.environment import VERSION
from speech2vec.runtime.files import atomic_path

_OWN = "speech2vec.reporting"


@dataclass(frozen=True)
class KeyNumber:
    """A number at the top of a page, and what to compare it with."""

    name: str
    value: str
    beside: str


def render(template: str, output: Path, context: Mapping[str, Any], package: str = _OWN) -> None:
    """Write a template as one file, whole or not at all.

    Parameters
    ----------
    template : str
        In the folder ``templates`` of `package`; it may extend and import the templates of this package.
    output : Path
        An existing file is replaced.
    context : mapping
        The template's variables.
    package : str
    """
    loaders = [jinja2.PackageLoader(name, "templates") for name in dict.fromkeys((package, _OWN))]
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(loaders),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["json"] = script_json
    environment.filters["minus"] = lambda text: str(text).replace("-", "\u2212")
    folder = resources.files(f"{_OWN}.templates")
    text = environment.get_template(template).render(
        **context,
        style=Markup((folder / "style.css").read_text(encoding="utf-8")),
        script=Markup((folder / "report.js").read_text(encoding="utf-8")),
        version=VERSION,
        made=time.strftime("%Y-%m-%d %H:%M"),
    )
    with atomic_path(output) as temporary:
        temporary.write_text(text, encoding="utf-8")


def script_json(value: object) -> Markup:
    """JSON for a script element, which no word of a corpus can end."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))
