"""Several runs side by side, as a page like a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speech2vec.evaluation.average_precision import Precision
from speech2vec.evaluation.same_different import Comparison
from speech2vec.evaluation.similarity import HEADLINE
from speech2vec.reporting.charts import (
    ScoreChart,
    auc_chart,
    curve,
    headline_scores,
    level_title,
    precision_dot,
    z_ablation,
)
from speech2vec.reporting.findings import RunResults, gather
from speech2vec.reporting.rendering import render
from speech2vec.reporting.svg import Dot, DotChart, DotRow, Line, dot_chart, line_chart
from speech2vec.reporting.text import flat_settings, statements, summary, training_facts
from speech2vec.runtime.display import Displayed, Table
from speech2vec.runtime.progress import log
from speech2vec.training.methods.method import NO_LABELS
from speech2vec.training.run import LAST, Run
from speech2vec.vectors.instances import RESAMPLED, TRAINED, UNTRAINED, open_run

STYLES = ("s0", "s1", "s3", "s4", "s7", "s8", "s9", "s2")
Styled = Sequence[tuple[str, str, RunResults]]


@dataclass(frozen=True)
class RunsCompared(Displayed):
    """What was measured on several runs."""

    runs: list[RunResults]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, by the names of the runs."""
        return {name: found.to_dict() for name, found in zip(distinct_run_names(self.runs), self.runs, strict=True)}

    def display_parts(self) -> list[str | Table]:
        """The runs beside each other, and which is best at what."""
        beside = compared(self.runs)
        return [Table(beside.rows), "\n".join(beside.sentences)]


def compare(
    runs: Sequence[Run | str | Path],
    output: str | Path,
    *,
    checkpoint: str = LAST,
    wordsim: str | Path | None = None,
    seed: int = 0,
    device: str = "auto",
    quiet: bool = False,
) -> RunsCompared:
    """Measure several runs and write a page that shows them side by side (see `report`)."""
    found = gather_all(runs, checkpoint=checkpoint, wordsim=wordsim, seed=seed, device=device, quiet=quiet)
    render("compare.html", Path(output), comparison_context(found))
    return RunsCompared(found)


def gather_all(
    runs: Sequence[Run | str | Path],
    *,
    checkpoint: str = LAST,
    wordsim: str | Path | None = None,
    seed: int = 0,
    device: str = "auto",
    quiet: bool = False,
) -> list[RunResults]:
    """Measure what is compared of each run (see `gather`)."""
    found = []
    for run in runs:
        opened = open_run(run, device=device, checkpoint=checkpoint)
        log.info("measuring %s", opened.path)
        found.append(gather(opened, wordsim=wordsim, dtw_instances=0, seed=seed, quiet=quiet, with_words=False))
    return found


def distinct_run_names(runs: Sequence[RunResults]) -> list[str]:
    """The names of the runs' folders, numbered if they are not unique."""
    names = [found.name for found in runs]
    return [f"{name} ({number})" if names.count(name) > 1 else name for number, name in enumerate(names, start=1)]


def comparison_context(runs: Sequence[RunResults]) -> dict[str, Any]:
    """The variables of the template ``compare.html``."""
    styled = _styled(runs)
    names = [name for name, _, _ in styled]
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
        "beside": compared(runs),
        "unscored": [name for name, _, found in styled if found.evaluation is None],
        "auc": auc_chart(styled),
        "speaker": compared_speaker(styled),
        "variability": compared_variability(styled),
        "statements": [(name, statements(found)) for name, _, found in styled],
    }


def _styled(runs: Sequence[RunResults]) -> Styled:
    named = zip(distinct_run_names(runs), runs, strict=True)
    return [(name, STYLES[number % len(STYLES)], found) for number, (name, found) in enumerate(named)]


@dataclass(frozen=True)
class Beside:
    """What is shown of several runs beside each other.

    Parameters
    ----------
    rows : list of lists of str
        A table, its first row the header.
    sentences : list of str
        Which run is best at what.
    same_different : DotChart or None
    instances : str
        Which instances it is about.
    levels : list of ScoreChart
    """

    rows: list[list[str]]
    sentences: list[str]
    same_different: DotChart | None
    instances: str
    levels: list[ScoreChart]


def compared(runs: Sequence[RunResults]) -> Beside:
    """Several runs beside each other."""
    styled = _styled(runs)
    chart, instances = compared_same_different(styled), _instances(styled)
    return Beside(_rows(styled), _best(styled), chart, instances, compared_levels(styled))


def _held_out(styled: Styled) -> bool:
    """Whether only held-out instances are compared: those of all runs, if one of them knew its words by name."""
    return any(found.labels != NO_LABELS for _, _, found in styled)


def _instances(styled: Styled) -> str:
    return "held-out instances of every run, as one knew its words by name" if _held_out(styled) else "all instances"


def _rows(styled: Styled) -> list[list[str]]:
    held_out = _held_out(styled)
    same = "same word, held out" if held_out else "same word"
    rows = [["run", "method", "labels used", same, "across speakers", "meaning (ρ)", "homophones (AUC)"]]
    for name, _, found in styled:
        precisions = _precisions(found, held_out)
        score = headline_scores(found.evaluation).get("file")
        check = found.homophones.value
        rows.append(
            [
                name,
                found.method,
                found.labels,
                *(_precision_text(precisions.get(over)) for over in ("all_pairs", "across_speakers")),
                f"{score.rho:.3f} [{score.low:.2f}, {score.high:.2f}] {score.benchmark}" if score else "–",
                check.auc_random.text() if check else "–",
            ]
        )
    return rows


def _part(found: RunResults, held_out: bool) -> Comparison | None:
    measured = found.same_different.value
    if measured is None:
        return None
    return measured.held_out if held_out else measured.parts[0]


def _precisions(found: RunResults, held_out: bool, kind: str = TRAINED) -> dict[str, Precision]:
    """The average precision of a run over all pairs and across speakers, where there are such pairs."""
    part = _part(found, held_out)
    if part is None:
        return {}
    result = part.results[kind]
    both = {over: getattr(result, over) for over in ("all_pairs", "across_speakers")}
    return {over: precision for over, precision in both.items() if precision.n_same}


def _precision_text(precision: Precision | None) -> str:
    if precision is None:
        return "–"
    interval = f" [{precision.low:.3f}, {precision.high:.3f}]" if len(precision.drawn) else ""
    return f"{precision.ap:.3f}{interval}"


def _best(styled: Styled) -> list[str]:
    """Which run tells words apart best, and which one's cosines follow what people say."""
    sentences = []
    held_out = _held_out(styled)
    on = " of held-out instances" if held_out else ""
    for over, where in (("across_speakers", f"Across speakers{on}"), ("all_pairs", f"Over all pairs{on}")):
        trained = {name: _precisions(run, held_out) for name, _, run in styled}
        found = {name: precisions[over].ap for name, precisions in trained.items() if over in precisions}
        if len(found) > 1:
            order = sorted(found, key=lambda name: -found[name])
            plain = [_precisions(run, held_out, RESAMPLED) for _, _, run in styled]
            untaught = {precisions[over].ap for precisions in plain if over in precisions}
            control = f"; resampled frames, with no training: {max(untaught):.3f}" if len(untaught) == 1 else ""
            shown = ", ".join(f"{name} {found[name]:.3f}" for name in order)
            sentences.append(f"{where}, words are told apart best by {order[0]} (average precision {shown}{control}).")
    scores = {name: score for name, _, run in styled if (score := headline_scores(run.evaluation).get("file"))}
    above = [name for name, score in scores.items() if score.low is not None and score.low > 0]
    if scores:
        best = max(above, key=lambda name: scores[name].rho or 0.0) if above else ""
        sentences.append(
            f"Meaning, as people judge it, is followed best by {best} (ρ = {scores[best].rho:.3f})."
            if best
            else "None of them follows meaning, as people judge it, beyond chance."
        )
    return sentences


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
    rows, held_out = [], _held_out(styled)
    for label, over in (("all pairs", "all_pairs"), ("across speakers only", "across_speakers")):
        dots = []
        for name, style, found in styled:
            part = _part(found, held_out)
            for kind, look in ((TRAINED, style), (UNTRAINED, f"{style} hollow")) if part else ():
                title = name if kind == TRAINED else f"{name}, untrained"
                precision = _precisions(found, held_out, kind).get(over)
                if part and precision:
                    dots.append(precision_dot(title, look, precision, f"{part.results[kind].n_instances:,} instances"))
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
