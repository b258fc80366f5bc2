"""`report.html`: what a run learned, in one file that opens from disk and asks the network for nothing."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from speech2vec import __version__
from speech2vec.charts import heat_image
from speech2vec.findings import DecodedPair, Findings, Neighbours, WordMap
from speech2vec.homophones import Estimate, digits_to_tell_apart
from speech2vec.measures import MEAN_MFCC, TRAINED, UNTRAINED
from speech2vec.report_charts import (
    auc_chart,
    headline_score,
    loss_chart,
    same_different_chart,
    score_levels,
    speaker_chart,
    variability_chart,
    watched_chart,
    worth_chart,
)
from speech2vec.runs import atomic_path


@dataclass(frozen=True)
class Figure:
    """A number that the report opens with."""

    name: str
    value: str
    beside: str


@dataclass(frozen=True)
class Picture:
    """A decoded beside a true segment, as images."""

    centre: str
    context: str
    seconds: float
    true: str
    decoded: str


def write_report(findings: Findings, output: Path) -> None:
    """Write the report of one run, whole or not at all."""
    render("report.html", output, report_context(findings))


def render(template: str, output: Path, context: Mapping[str, Any]) -> None:
    """Fill a template, with style and script inside it, into one file."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("speech2vec", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["json"] = _script_json
    environment.filters["minus"] = lambda text: str(text).replace("-", "\u2212")
    folder = resources.files("speech2vec.templates")
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


def report_context(found: Findings) -> dict[str, Any]:
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
        "worth": worth_chart(found.metrics),
        "watched": watched_chart(found.metrics),
        "levels": score_levels(found.evaluation),
        "published_source": (found.evaluation or {}).get("published", {}).get("source", ""),
        "same_different": [(part, same_different_chart(part)) for part in found.same_different.value or []],
        "speaker": speaker_chart(found),
        "homophones": found.homophones,
        "homophone_rows": homophone_rows(found),
        "auc": auc_chart([("", "s0", found)]),
        "phonetic": found.phonetic,
        "digits": lambda *estimates: digits_to_tell_apart(estimates),
        "variability": found.variability,
        "variability_chart": variability_chart(found),
        "pictures": [picture(pair) for pair in found.decoded],
        "vectors": vectors_data(found.neighbours, found.word_map),
    }


def summary(found: Findings) -> str:
    """One sentence: what was trained on what."""
    model, corpus = found.settings.get("model", {}), found.corpus
    epochs = f"{found.epoch} epoch{'' if found.epoch == 1 else 's'}" if found.epoch is not None else "some epochs"
    audio = f" from {corpus.hours_of_audio:.1f} h of audio" if corpus.hours_of_audio else ""
    kind = "SYNTHETIC speech" if corpus.synthetic else "speech"
    return (
        f"A Speech2Vec {model.get('objective', '')} model of {model.get('vector_size', '?')} dimensions, trained for "
        f"{epochs} on {corpus.n_words:,} spoken words ({corpus.n_types:,} different ones, {corpus.n_speakers:,} "
        f"speakers){audio}: {kind}; corpus: {corpus.label}."
    )


def flat_settings(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Nested settings as (dotted key, text)."""
    rows: list[tuple[str, str]] = []
    for key, value in settings.items():
        if isinstance(value, Mapping):
            rows += [(f"{key}.{inner}", text) for inner, text in flat_settings(value)]
        else:
            rows.append((key, "none" if value is None else str(value)))
    return rows


def training_facts(found: Findings) -> list[tuple[str, str]]:
    """Machine, time and speed."""
    epochs = [row for row in found.metrics if "seconds" in row]
    environment = found.environment
    packages = environment.get("packages", {})
    facts = [
        ("epochs trained", f"{found.epoch} of {found.settings.get('optimiser', {}).get('epochs', '?')}"),
        ("started", environment.get("started")),
        ("time in training steps", _duration(sum(row["seconds"] for row in epochs)) if epochs else None),
        ("pairs a second", f"{np.mean([row['pairs_per_second'] for row in epochs]):,.0f}" if epochs else None),
        ("machine", environment.get("machine")),
        ("cores", environment.get("cores")),
        ("device", environment.get("device")),
        ("Python, torch", ", ".join(str(v) for v in (environment.get("python"), packages.get("torch")) if v) or None),
        ("command", " ".join(environment.get("command", [])) or None),
    ]
    return [(name, str(value)) for name, value in facts if value is not None]


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _last(metrics: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    return metrics[-1] if metrics else {}


def key_figures(found: Findings) -> list[Figure]:
    """The numbers that matter most, each with what it must be compared to."""
    figures = []
    last = _last(found.metrics)
    if "dev_loss" in last:
        figures.append(
            Figure(
                "held-out loss",
                f"{last['dev_loss']:.4f}",
                f"{last['dev_shuffled']:.4f} with z of other words, {last['dev_mean_frame']:.4f} for the mean frame",
            )
        )
    if found.same_different.value:
        results = found.same_different.value[0].results
        trained = results[TRAINED]
        figures.append(
            Figure(
                "same-different average precision",
                f"{trained.ap:.3f}",
                f"{results[UNTRAINED].ap:.3f} untrained, {results[MEAN_MFCC].ap:.3f} mean MFCC, "
                f"{trained.chance:.3f} chance",
            )
        )
    score = headline_score(found.evaluation)
    if score is not None:
        figures.append(
            Figure(
                f"Spearman's ρ on {score['benchmark']}",
                f"{score['rho']:.3f}",
                f"95 % interval {score['low']:.2f} to {score['high']:.2f}, "
                f"{score['n_covered']:,} of {score['n_pairs']:,} pairs",
            )
        )
    check = found.homophones.value
    if check is not None:
        beside = f"against random pairs, interval {check.auc_random.low:.2f} to {check.auc_random.high:.2f}"
        figures.append(Figure("homophones' AUC", f"{check.auc_random.value:.2f}", f"{beside}; 1 if from sound"))
    return figures


def statements(found: Findings) -> list[str]:
    """What the numbers say in words: each sentence follows from the figures in it by a fixed rule."""
    said = []
    last = _last(found.metrics)
    if "dev_loss" in last:
        gain = 100 * (last["dev_shuffled"] / last["dev_loss"] - 1)
        verdict = "is used by the decoder" if gain > 0 else "is not used by the decoder"
        said.append(
            f"The word's vector {verdict}: with the vectors of other words the held-out loss changes by {gain:+.2f} %."
        )
    if found.same_different.value:
        results = found.same_different.value[0].results
        trained, untrained, mean = (results[name].ap for name in (TRAINED, UNTRAINED, MEAN_MFCC))
        better = "easier" if trained > untrained else "no easier"
        best = max(trained, untrained, mean)
        leader = "the trained encoder" if best == trained else "the untrained one" if best == untrained else MEAN_MFCC
        said.append(
            f"Training made instances {better} to tell apart by word: average precision {untrained:.4f} before, "
            f"{trained:.4f} after, {mean:.4f} by the mean of the MFCC frames; the best of the three is {leader}."
        )
    score = headline_score(found.evaluation)
    if score is not None:
        shown = "above" if score["low"] > 0 else "below" if score["high"] < 0 else "not distinguishable from"
        said.append(
            f"Similarity judged by people: Spearman's ρ on {score['benchmark']} is {score['rho']:.3f} "
            f"[{score['low']:.2f}, {score['high']:.2f}], {shown} chance, "
            f"on {score['n_covered']:,} of {score['n_pairs']:,} pairs."
        )
    if found.homophones.value is not None:
        said.append(found.homophones.value.verdict)
    if found.phonetic.value is not None:
        said.append(found.phonetic.value.sentence)
    return said


def homophone_rows(found: Findings) -> list[tuple[str, Estimate, Estimate | None]]:
    """The rows of the homophone table: kind, mean cosine, AUC of homophones against it."""
    check = found.homophones.value
    if check is None:
        return []
    rows: list[tuple[str, Estimate, Estimate | None]] = [
        ("homophones", check.homophones, None),
        ("random pairs of like frequency", check.random, check.auc_random),
    ]
    if check.split_halves is not None:
        rows.append(("two halves of one word's instances", check.split_halves, check.auc_split))
    return rows


def picture(pair: DecodedPair) -> Picture:
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
