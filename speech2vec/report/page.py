"""`report.html`: what a run learned, in one file that opens from disk and asks the network for nothing."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from speech2vec import __version__
from speech2vec.evaluation.bootstrap import decimals_needed
from speech2vec.report.charts import (
    auc_chart,
    loss_chart,
    monitor_chart,
    same_different_chart,
    score_levels,
    speaker_chart,
    variability_chart,
    z_ablation_chart,
)
from speech2vec.report.findings import RunResults
from speech2vec.report.svg import heat_image
from speech2vec.report.text import flat_settings, homophone_rows, key_figures, statements, summary, training_facts
from speech2vec.report.word_map import DecodedExample, Neighbours, WordMap
from speech2vec.runtime.files import atomic_path


@dataclass(frozen=True)
class Picture:
    """A decoded beside a true segment, as images."""

    centre: str
    context: str
    seconds: float
    true: str
    decoded: str


def write_report(findings: RunResults, output: Path) -> None:
    """Write the report of one run, whole or not at all."""
    render("report.html", output, report_context(findings))


def render(template: str, output: Path, context: Mapping[str, Any]) -> None:
    """Fill a template, with style and script inside it, into one file."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("speech2vec.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["json"] = _script_json
    environment.filters["minus"] = lambda text: str(text).replace("-", "\u2212")
    folder = resources.files("speech2vec.report.templates")
    text = environment.get_template(template).render(
        **context,
        style=Markup((folder / "style.css").read_text(encoding="utf-8")),
        script=Markup((folder / "report.js").read_text(encoding="utf-8")),
        version=__version__,
        made=time.strftime("%Y-%m-%d %H:%M"),
    )
    with atomic_path(output) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _script_json(value: object) -> Markup:
    """JSON that may stand inside a script element: no word of a corpus can end it."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))


def report_context(found: RunResults) -> dict[str, Any]:
    """All that the template of a report shows."""
    return {
        "title": f"Speech2Vec: {found.name}",
        "found": found,
        "corpus": found.corpus,
        "summary": summary(found),
        "figures": key_figures(found),
        "statements": statements(found),
        "settings": flat_settings(found.settings),
        "store_settings": flat_settings(found.store_settings),
        "training": training_facts(found),
        "loss": loss_chart(found.metrics),
        "worth": z_ablation_chart(found.metrics),
        "watched": monitor_chart(found.metrics),
        "levels": score_levels(found.evaluation),
        "published_source": (found.evaluation or {}).get("published", {}).get("source", ""),
        "same_different": [(part, same_different_chart(part)) for part in found.same_different.value or []],
        "speaker": speaker_chart(found),
        "homophones": found.homophones,
        "homophone_rows": homophone_rows(found),
        "auc": auc_chart([("", "s0", found)]),
        "phonetic": found.phonetic,
        "digits": lambda *estimates: decimals_needed(estimates),
        "variability": found.variability,
        "variability_chart": variability_chart(found),
        "pictures": [picture(pair) for pair in found.decoded],
        "vectors": vectors_data(found.neighbours, found.word_map),
    }


def picture(pair: DecodedExample) -> Picture:
    """A decoded pair as two images with one colour scale, which is the true one's."""
    low, high = np.quantile(pair.true, [0.01, 0.99])
    return Picture(
        centre=pair.centre,
        context=pair.context,
        seconds=len(pair.true) * pair.hop_seconds,
        true=heat_image(pair.true.T, float(low), float(high)),
        decoded=heat_image(pair.decoded.T, float(low), float(high)),
    )


def vectors_data(neighbours: Neighbours | None, word_map: WordMap | None) -> dict[str, Any] | None:
    """What the page's script searches and draws: whole numbers of 16 bits in base64."""
    if neighbours is None:
        return None
    data: dict[str, Any] = {
        "words": " ".join(neighbours.words),
        "counts": neighbours.counts.tolist(),
        "each": neighbours.nearest.shape[1],
        "nearest": _base64(neighbours.nearest),
        "cosines": _base64((neighbours.cosines.clip(-1, 1).astype(np.float64) + 1) / 2 * 65535),
        "map": None,
    }
    if word_map is not None:
        data["map"] = {
            "words": " ".join(word_map.words),
            "seconds": [round(float(value), 3) for value in word_map.seconds],
            "scale": [round(float(value), 3) for value in np.quantile(word_map.seconds, [0.02, 0.98])],
            "planes": {"t-SNE": _plane(word_map.tsne), "PCA": _plane(word_map.pca)},
            "explained": round(word_map.explained, 3),
        }
    return data


def _plane(points: np.ndarray) -> str:
    """Places in a square, the longer side of the cloud filling it."""
    low, high = points.min(axis=0), points.max(axis=0)
    size = float((high - low).max()) or 1.0
    return _base64((points - (low + high) / 2) / size * 65535 + 32767.5)


def _base64(values: np.ndarray) -> str:
    whole = np.rint(np.asarray(values)).clip(0, 65535).astype("<u2")
    return base64.b64encode(whole.tobytes()).decode("ascii")
