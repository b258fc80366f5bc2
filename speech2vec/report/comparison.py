"""Several runs side by side, in the form of a report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from speech2vec.evaluation.average_precision import Precision
from speech2vec.evaluation.similarity import HEADLINE
from speech2vec.report.charts import ScoreChart, auc_chart, curve, level_title, own_model, precision_dot, z_ablation
from speech2vec.report.findings import RunResults
from speech2vec.report.page import render
from speech2vec.report.svg import Dot, DotChart, DotRow, Line, dot_chart, line_chart
from speech2vec.report.text import flat_settings, statements, summary, training_facts
from speech2vec.vectors.instances import TRAINED, UNTRAINED

STYLES = ("s0", "s1", "s3", "s4", "s7", "s8", "s9", "s2")


Styled = Sequence[tuple[str, str, RunResults]]


def write_comparison(runs: Sequence[RunResults], output: Path) -> None:
    """Write several runs side by side."""
    render("compare.html", output, comparison_context(runs))


def distinct_run_names(runs: Sequence[RunResults]) -> list[str]:
    """The runs' folder names, numbered where two are the same."""
    names = [found.name for found in runs]
    return [f"{name} ({number})" if names.count(name) > 1 else name for number, name in enumerate(names, start=1)]


def comparison_context(runs: Sequence[RunResults]) -> dict[str, Any]:
    """All that the template of a comparison shows."""
    names = distinct_run_names(runs)
    styled = [
        (name, STYLES[number % len(STYLES)], found)
        for number, (name, found) in enumerate(zip(names, runs, strict=True))
    ]
    return {
        "title": f"Speech2Vec: {len(runs)} runs compared",
        "names": names,
        "runs": runs,
        "summaries": [summary(found) for found in runs],
        "synthetic": [name for name, found in zip(names, runs, strict=True) if found.corpus.synthetic],
        "different": different_settings(runs),
        "facts": side_by_side([training_facts(found) for found in runs]),
        "loss": line_chart(
            [Line(name, style, curve(found.metrics, "dev_loss")) for name, style, found in styled],
            "epoch",
            "held-out mean squared error per coefficient",
        ),
        "worth": line_chart(
            [Line(name, style, z_ablation(found.metrics, "dev_shuffled")) for name, style, found in styled],
            "epoch",
            "loss more with z of other utterances, %",
        ),
        "levels": compared_levels(styled),
        "unscored": [name for name, _, found in styled if found.evaluation is None],
        "same_different": compared_same_different(styled),
        "auc": auc_chart(styled),
        "speaker": compared_speaker(styled),
        "variability": compared_variability(styled),
        "statements": [(name, statements(found)) for name, _, found in styled],
    }


def different_settings(runs: Sequence[RunResults]) -> list[tuple[str, list[str]]]:
    """The settings in which runs differ, those of training and those of features: (key, a value for each run)."""
    every = [
        dict(flat_settings({**found.settings, "features": found.store_settings, "corpus": found.corpus.label}))
        for found in runs
    ]
    keys = list(dict.fromkeys(key for one in every for key in one))
    rows = [(key, [one.get(key, "–") for one in every]) for key in keys]
    return [(key, values) for key, values in rows if len(set(values)) > 1]


def side_by_side(tables: Sequence[Sequence[tuple[str, str]]]) -> list[tuple[str, list[str]]]:
    """Several two-column tables as one with a column for each."""
    every = [dict(table) for table in tables]
    keys = list(dict.fromkeys(key for one in every for key in one))
    return [(key, [one.get(key, "–") for one in every]) for key in keys]


def compared_levels(styled: Styled) -> list[ScoreChart]:
    """The runs' scores, a chart for each minimum count that any of them was evaluated at."""
    by_count: dict[int, dict[str, DotRow]] = {}
    for name, style, found in styled:
        if found.evaluation is None:
            continue
        own = own_model(found.evaluation)
        for level in found.evaluation["levels"]:
            rows = by_count.setdefault(level["min_count"] or 1, {})
            controls = [model["name"] for model in found.evaluation["models"] if model["kind"] == "untrained"]
            for model in [own, *controls[:1]]:
                result = level["results"][model]
                for score in [*result["scores"], result["mean"]]:
                    benchmark = "mean of all sets" if score is result["mean"] else score["benchmark"]
                    strong = benchmark == HEADLINE or score is result["mean"]
                    row = rows.setdefault(benchmark, DotRow(benchmark, f"{score['n_pairs']:,} pairs", [], strong))
                    if score["rho"] is not None:
                        note = f"{score['n_covered']:,} of {score['n_pairs']:,} pairs"
                        title, look = (name, style) if model == own else (f"{name}, untrained", f"{style} hollow")
                        row.dots.append(Dot(title, look, score["rho"], score["low"], score["high"], note))
    return [
        ScoreChart(
            level_title(count),
            dot_chart(
                sorted(rows.values(), key=lambda row: not row.strong), "Spearman's ρ with people's ratings", (0.0,)
            ),
        )
        for count, rows in sorted(by_count.items())
    ]


def compared_same_different(styled: Styled) -> DotChart | None:
    """Average precision of all runs on their own speakers, trained and untrained."""
    rows = []
    for label, over in (("all pairs", "all_pairs"), ("across speakers only", "across_speakers")):
        dots = []
        for name, style, found in styled:
            if found.same_different.value:
                results = found.same_different.value[0].results
                for kind, look in ((TRAINED, style), (UNTRAINED, f"{style} hollow")):
                    title = name if kind == TRAINED else f"{name}, untrained"
                    note = f"{results[kind].n_instances:,} instances"
                    precision: Precision = getattr(results[kind], over)
                    if precision.n_same:
                        dots.append(precision_dot(title, look, precision, note))
        rows.append(DotRow(label, "each on its own corpus", dots))
    return dot_chart(rows, "average precision", include=(0.0,))


def compared_speaker(styled: Styled) -> DotChart | None:
    """Accuracy of the speaker probe of all runs."""
    dots = [
        Dot(
            name, style, 100 * row["accuracy"], 100 * row["low"], 100 * row["high"], f"chance {100 * row['chance']:.1f}"
        )
        for name, style, found in styled
        if found.speaker.value is not None
        for row in [found.speaker.value[TRAINED]]
    ]
    return dot_chart([DotRow("speaker named rightly", "by a linear probe", dots)], "% of words", include=(0.0,))


def compared_variability(styled: Styled) -> DotChart | None:
    """Relative spread of a word's instances by its frequency, of all runs, trained and untrained."""
    rows: dict[str, DotRow] = {}
    for name, style, found in styled:
        if found.variability.value is None:
            continue
        for kind, look in ((TRAINED, style), (UNTRAINED, f"{style} hollow")):
            title = name if kind == TRAINED else f"{name}, untrained"
            for one in found.variability.value[kind]:
                row = rows.setdefault(one["label"], DotRow(f"said {one['label']} times", "each in its own corpus", []))
                if one["relative"] is not None:
                    row.dots.append(Dot(title, look, one["relative"], note=f"{one['n_words']:,} words"))
    return dot_chart(list(rows.values()), "spread within a word ÷ spread over all words", include=(0.0, 1.0))
