"""What a report says of a run in words and single numbers, each by a fixed rule from what was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from speech2vec.discrimination import SameDifferent
from speech2vec.estimates import Estimate
from speech2vec.findings import Findings
from speech2vec.instances import MEAN_MFCC, TRAINED, UNTRAINED
from speech2vec.report_charts import headline_score


@dataclass(frozen=True)
class Figure:
    """A number that the report opens with."""

    name: str
    value: str
    beside: str


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
                f"{trained.ap:.4f}",
                f"{_interval(trained)}{results[UNTRAINED].ap:.4f} untrained, {results[MEAN_MFCC].ap:.3f} mean MFCC, "
                f"{trained.chance:.4f} chance",
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


def _interval(result: SameDifferent) -> str:
    return "" if math.isnan(result.low) else f"95 % interval {result.low:.4f} to {result.high:.4f}; "


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
