"""The charts of a report: a run's findings laid out, each estimate beside its controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from speech2vec.evaluation.average_precision import Precision
from speech2vec.evaluation.bootstrap import Estimate
from speech2vec.evaluation.same_different import WARPING, SameDifferentResult
from speech2vec.evaluation.similarity import HEADLINE
from speech2vec.report.findings import RunResults
from speech2vec.report.svg import Dot, DotChart, DotRow, Line, LineChart, dot_chart, line_chart
from speech2vec.vectors.instances import MEAN_MFCC, TRAINED, UNTRAINED

# One style (colour and shape) for one thing in all charts; template `style.css` defines them.
STYLES = {TRAINED: "s0", UNTRAINED: "s1", "random": "s2", MEAN_MFCC: "s3", WARPING: "s4"}


OTHER_STYLES = ("s7", "s8", "s9", "s3", "s4")


PUBLISHED_STYLES = ("s5", "s6")


FEW_PAIRS = 100


@dataclass(frozen=True)
class ScoreChart:
    """The scores at one minimum count."""

    title: str
    chart: DotChart | None


def curve(metrics: Sequence[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
    """A metric over epochs, where it was measured."""
    return [(row["epoch"], row[key]) for row in metrics if row.get(key) is not None]


def loss_chart(metrics: Sequence[Mapping[str, Any]]) -> LineChart | None:
    """The loss on training and held-out speech beside its controls."""
    lines = [
        ("training", "train_loss", "s0 dashed"),
        ("held out", "dev_loss", "s0"),
        ("held out, z of other utterances", "dev_shuffled", "s1"),
        ("previous frame repeated", "dev_previous_frame", "s3 dashed"),
        ("mean frame", "dev_mean_frame", "s2 dashed"),
    ]
    return line_chart(
        [Line(name, style, curve(metrics, key)) for name, key, style in lines],
        "epoch",
        "mean squared error per coefficient",
    )


def z_ablation(metrics: Sequence[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
    """By how many per cent the held-out loss grows when z is another word's, over epochs."""
    rows = [row for row in metrics if row.get(key) is not None and row.get("dev_loss")]
    return [(row["epoch"], 100 * (row[key] / row["dev_loss"] - 1)) for row in rows]


def z_ablation_chart(metrics: Sequence[Mapping[str, Any]]) -> LineChart | None:
    """By how much the held-out loss grows when z is another word's: what z is worth, which the losses' scale hides."""
    lines = [
        Line("z of a word of another utterance", "s1", z_ablation(metrics, "dev_shuffled")),
        Line("z of another word of the same utterance", "s4", z_ablation(metrics, "dev_shuffled_within")),
    ]
    return line_chart(lines, "epoch", "loss more than with the right z, %")


def monitor_chart(metrics: Sequence[Mapping[str, Any]]) -> LineChart | None:
    """Same-different average precision on held-out speakers as it was watched in training."""
    lines = [
        Line("all pairs", "s0", curve(metrics, "same_different_ap")),
        Line("across speakers", "s1", curve(metrics, "same_different_ap_cross_speaker")),
    ]
    kept = [line for line in lines if len(line.points) > 1]
    return line_chart(kept, "epoch", "average precision, held out", include=(0.0,))


def own_model(evaluation: Mapping[str, Any]) -> str:
    """The name of the first vectors file: those of the run."""
    return _first_of(evaluation, "file")


def _first_of(evaluation: Mapping[str, Any], kind: str) -> str:
    return next((model["name"] for model in evaluation["models"] if model["kind"] == kind), "")


def headline_scores(
    evaluation: Mapping[str, Any] | None,
) -> tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]:
    """The scores of the run and of its encoder untrained on the headline benchmark (else the pair-weighted mean).

    At the first level; None where there is no score, for the untrained encoder also where the run has none.
    """
    if evaluation is None or not evaluation["levels"]:
        return None, None
    results = evaluation["levels"][0]["results"]
    own = _by_benchmark(results.get(own_model(evaluation)))
    score = own.get(HEADLINE) or next(iter(own.values()), None)
    untrained = _by_benchmark(results.get(_first_of(evaluation, "untrained")))
    return score, untrained.get(score["benchmark"]) if score else None


def _by_benchmark(result: Mapping[str, Any] | None) -> dict[str, Mapping[str, Any]]:
    """A model's scores that have an interval, the mean first."""
    scores = [result["mean"], *result["scores"]] if result else []
    return {score["benchmark"]: score for score in scores if score["rho"] is not None and score["low"] is not None}


def level_title(min_count: int | None) -> str:
    """Which words are scored."""
    return "all words" if min_count in (None, 1) else f"words said {min_count} times or more"


def score_levels(evaluation: Mapping[str, Any] | None) -> list[ScoreChart]:
    """The word-similarity scores as charts, one for each minimum count."""
    if evaluation is None:
        return []
    return [
        ScoreChart(
            level_title(level["min_count"]),
            _score_chart(evaluation, level),
        )
        for level in evaluation["levels"]
    ]


def _score_chart(evaluation: Mapping[str, Any], level: Mapping[str, Any]) -> DotChart | None:
    own = own_model(evaluation)
    styles = _model_styles(evaluation["models"])
    columns = evaluation.get("published", {}).get("columns", {})
    results = level["results"]
    by_benchmark: dict[str, DotRow] = {}
    for position, score in enumerate([*results[own]["scores"], results[own]["mean"]]):
        name = score["benchmark"]
        dots = []
        for model, result in results.items():
            other = [*result["scores"], result["mean"]][position]
            if other["rho"] is not None:
                title = TRAINED if model == own else model
                pairs = f"{other['n_covered']:,} pairs"
                dots.append(Dot(title, styles[model], other["rho"], other["low"], other["high"], pairs))
        dots += [
            Dot(title, style, table[name], note="no coverage or interval given")
            for (title, table), style in zip(columns.items(), PUBLISHED_STYLES, strict=False)
            if name in table
        ]
        few = ": few" if score["n_covered"] < FEW_PAIRS else ""
        note = f"{score['n_covered']:,} of {score['n_pairs']:,} pairs{few}"
        strong = name == HEADLINE or position == len(results[own]["scores"])
        by_benchmark[name] = DotRow(name, note, dots, strong)
    rows = sorted(by_benchmark.values(), key=lambda row: not row.strong)
    return dot_chart(rows, "Spearman's ρ with people's ratings", include=(0.0,))


def _model_styles(models: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    styles: dict[str, str] = {}
    others = iter(OTHER_STYLES * len(models))
    for model in models:
        if model["kind"] == "file":
            first = "s0" not in styles.values()
            styles[model["name"]] = "s0" if first else next(others)
        else:
            used = STYLES.get(model["kind"], "s2")
            styles[model["name"]] = used if used not in styles.values() else next(others)
    return styles


def same_different_chart(part: SameDifferentResult) -> DotChart | None:
    """Average precision by representation, over all pairs and across speakers."""
    rows = []
    for label, over in (("all pairs", "all_pairs"), ("across speakers only", "across_speakers")):
        precisions: dict[str, Precision] = {name: getattr(result, over) for name, result in part.results.items()}
        first = next(iter(precisions.values()))
        if first.n_same:
            dots = [precision_dot(name, STYLES[name], precision) for name, precision in precisions.items()]
            dots.append(Dot("chance", "s2", first.chance))
            rows.append(DotRow(label, f"{first.n_same:,} same, {first.n_different:,} different pairs", dots))
    return dot_chart(rows, "average precision", include=(0.0,))


def precision_dot(name: str, style: str, precision: Precision, note: str = "") -> Dot:
    """An average precision with its interval, if it has one."""
    low, high = (precision.low, precision.high) if len(precision.drawn) else (None, None)
    return Dot(name, style, precision.ap, low, high, note)


def speaker_chart(found: RunResults) -> DotChart | None:
    """Accuracy of the speaker probe by representation."""
    if found.speaker.value is None:
        return None
    probes = found.speaker.value
    first = next(iter(probes.values()))
    dots = [
        Dot(name, STYLES[name], 100 * row["accuracy"], 100 * row["low"], 100 * row["high"])
        for name, row in probes.items()
    ]
    dots.append(Dot("chance", "s2", 100 * first["chance"]))
    note = f"{first['n_speakers']} speakers, {first['n_test']:,} words of unseen utterances"
    return dot_chart([DotRow("speaker named rightly", note, dots)], "% of words", include=(0.0,))


def auc_chart(runs: Sequence[tuple[str, str, RunResults]]) -> DotChart | None:
    """The AUCs of the homophone check and of the second table, for one run or several (name, style, findings)."""
    rows: dict[str, list[Dot]] = {}
    notes: dict[str, str] = {}
    for name, style, found in runs:
        estimates: list[tuple[str, Estimate | None, int, str]] = []
        if found.homophones.value is not None:
            check = found.homophones.value
            estimates += [
                ("homophones against random pairs", check.auc_random, check.n_pairs, "1 if vectors come from sound"),
                ("homophones against halves", check.auc_split, check.n_pairs, ".5 if vectors come from sound"),
            ]
        if found.phonetic.value is not None:
            said = "above .5 if near in sound is near"
            estimates += [
                (f"{kind.kind} against random pairs", kind.auc_random, kind.n_pairs, said if not i else "meaning")
                for i, kind in enumerate(found.phonetic.value.kinds)
            ]
        for label, estimate, n_pairs, note in estimates:
            if estimate is not None:
                dot = Dot(name or TRAINED, style, estimate.value, estimate.low, estimate.high, f"{n_pairs:,} pairs")
                rows.setdefault(label, []).append(dot)
                notes[label] = ".5 is chance, 1 if meaning is near" if note == "meaning" else note
    return dot_chart([DotRow(label, notes[label], dots) for label, dots in rows.items()], "AUC", include=(0.0, 1.0))


def variability_chart(found: RunResults) -> DotChart | None:
    """Relative spread of a word's instances by its frequency."""
    if found.variability.value is None:
        return None
    by_name = found.variability.value
    rows = []
    for number, one in enumerate(next(iter(by_name.values()))):
        dots = [
            Dot(name, STYLES[name], bins[number]["relative"])
            for name, bins in by_name.items()
            if bins[number]["relative"] is not None
        ]
        rows.append(DotRow(f"said {one['label']} times", f"{one['n_words']:,} words", dots))
    return dot_chart(rows, "spread within a word ÷ spread over all words", include=(0.0, 1.0))
