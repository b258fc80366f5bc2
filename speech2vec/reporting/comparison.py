"""Several runs side by side, as a page like a report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from speech2vec.evaluation.average_precision import Precision
from speech2vec.evaluation.similarity import HEADLINE
from speech2vec.reporting.charts import ScoreChart, auc_chart, curve, level_title, precision_dot, z_ablation
from speech2vec.reporting.findings import RunResults, gather
from speech2vec.reporting.rendering import render
from speech2vec.reporting.svg import Dot, DotChart, DotRow, Line, dot_chart, line_chart
from speech2vec.reporting.text import flat_settings, statements, summary, training_facts
from speech2vec.runtime.progress import log
from speech2vec.training.run import LAST, Run
from speech2vec.vectors.instances import TRAINED, UNTRAINED, open_run

STYLES = ("s0", "s1", "s3", "s4", "s7", "s8", "s9", "s2")
Styled = Sequence[tuple[str, str, RunResults]]


def compare(
    runs: Sequence[Run | str | Path],
    output: str | Path,
    *,
    checkpoint: str = LAST,
    wordsim: Path | None = None,
    seed: int = 0,
    device: str = "cpu",
    quiet: bool = False,
) -> list[RunResults]:
    """Measure several runs and write a page that shows them side by side (see `report`)."""
    found = []
    for run in runs:
        opened = open_run(run, device=device, checkpoint=checkpoint)
        log.info("measuring %s", opened.path)
        found.append(gather(opened, wordsim=wordsim, dtw_instances=0, seed=seed, quiet=quiet, with_words=False))
    render("compare.html", Path(output), comparison_context(found))
    return found


def distinct_run_names(runs: Sequence[RunResults]) -> list[str]:
    """The names of the runs' folders, numbered if they are not unique."""
    names = [found.name for found in runs]
    return [f"{name} ({number})" if names.count(name) > 1 else name for number, name in enumerate(names, start=1)]


def comparison_context(runs: Sequence[RunResults]) -> dict[str, Any]:
    """The variables of the template ``compare.html``."""
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
    """The settings of training and features in which runs differ: (key, value for each run)."""
    every = [
        dict(flat_settings({**found.settings, "features": found.store_settings, "corpus": found.corpus.label}))
        for found in runs
    ]
    keys = list(dict.fromkeys(key for one in every for key in one))
    rows = [(key, [one.get(key, "–") for one in every]) for key in keys]
    return [(key, values) for key, values in rows if len(set(values)) > 1]


def side_by_side(tables: Sequence[Sequence[tuple[str, str]]]) -> list[tuple[str, list[str]]]:
    """Two-column tables joined into one with a column for each."""
    every = [dict(table) for table in tables]
    keys = list(dict.fromkeys(key for one in every for key in one))
    return [(key, [one.get(key, "–") for one in every]) for key in keys]


def compared_levels(styled: Styled) -> list[ScoreChart]:
    """The runs' scores, a chart for each minimum count of any of their evaluations."""
    by_count: dict[int, dict[str, DotRow]] = {}
    for name, style, found in styled:
        if found.evaluation is None:
            continue
        shown = {found.evaluation.first_of("file"): (name, style)}
        if control := found.evaluation.first_of("untrained"):
            shown[control] = (f"{name}, untrained", f"{style} hollow")
        for level in found.evaluation.levels:
            rows = by_count.setdefault(level.min_count or 1, {})
            for model, (title, look) in shown.items():
                result = level.results[model]
                for score in [*result.scores, result.mean]:
                    benchmark = "mean of all sets" if score is result.mean else score.benchmark
                    strong = benchmark == HEADLINE or score is result.mean
                    row = rows.setdefault(benchmark, DotRow(benchmark, f"{score.n_pairs:,} pairs", [], strong))
                    if score.rho is not None:
                        note = f"{score.n_covered:,} of {score.n_pairs:,} pairs"
                        row.dots.append(Dot(title, look, score.rho, score.low, score.high, note))
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
    """Average precision of all runs, each on its own corpus, trained and untrained."""
    rows = []
    for label, over in (("all pairs", "all_pairs"), ("across speakers only", "across_speakers")):
        dots = []
        for name, style, found in styled:
            if found.same_different.value:
                results = found.same_different.value.parts[0].results
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
        Dot(name, style, 100 * probe.accuracy, 100 * probe.low, 100 * probe.high, f"chance {100 * probe.chance:.1f}")
        for name, style, found in styled
        if found.speaker.value is not None
        for probe in [found.speaker.value[TRAINED]]
    ]
    return dot_chart([DotRow("speaker identified", "by a linear probe", dots)], "% of words", include=(0.0,))


def compared_variability(styled: Styled) -> DotChart | None:
    """Relative spread of a word's instances by its frequency, of all runs, trained and untrained."""
    rows: dict[str, DotRow] = {}
    for name, style, found in styled:
        if found.variability.value is None:
            continue
        for kind, look in ((TRAINED, style), (UNTRAINED, f"{style} hollow")):
            title = name if kind == TRAINED else f"{name}, untrained"
            for one in found.variability.value[kind]:
                row = rows.setdefault(one.label, DotRow(f"{one.label} instances", "each in its own corpus", []))
                if one.relative is not None:
                    row.dots.append(Dot(title, look, one.relative, note=f"{one.n_words:,} words"))
    return dot_chart(list(rows.values()), "spread within a word ÷ spread over all words", include=(0.0, 1.0))
