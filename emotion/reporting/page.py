"""The report of an emotion run, in one file that needs no network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from emotion.evaluation.calibration import N_BINS
from emotion.metrics import MEASURES, N_DRAWS
from emotion.prediction.classifier import Classifier
from emotion.reporting import charts, text
from emotion.reporting.findings import RunReport, gather
from emotion.training.run import Run
from speech2vec.reporting.rendering import render
from speech2vec.runtime.output import check_output


def report(
    run: Classifier | str | Path,
    output: str | Path,
    *,
    others: Sequence[Classifier | str | Path] = (),
    draws: int = N_DRAWS,
    seed: int = 0,
    force: bool = False,
) -> RunReport:
    """Write a run's test scores as one self-contained page, beside its control and other runs.

    Parameters
    ----------
    run : Classifier or path
    output : path
        The page.
    others : sequence of Classifier or path
        Runs to show beside it; differences are given for those tested on the same utterances.
    draws, seed : int
        Number of bootstrap draws and their seed.
    force : bool
        Replace an existing output.

    Raises
    ------
    UserError
        A folder is not a run, its training is incomplete, or the output exists.

    Examples
    --------
    >>> emotion.report("runs/ravdess", "report.html")  # doctest: +SKIP
    """
    first, *more = (one.run if isinstance(one, Classifier) else Run.open(Path(one)) for one in (run, *others))
    check_output(Path(output), force=force, inputs=[first.folder, *(one.folder for one in more)])
    found = gather(first, more, draws, seed)
    render("emotion.html", Path(output), context(found), package="emotion.reporting")
    return found


def context(report: RunReport) -> dict[str, Any]:
    """The variables of the template ``emotion.html``."""
    own = report.own
    return {
        "title": f"Emotion: {own.name}",
        "report": report,
        "own": own,
        "warning": own.run.data_warning,
        "summary": text.summary(report),
        "figures": text.key_numbers(report),
        "statements": text.statements(report),
        "matrices": [
            (charts.legend_name(system), system.labels, charts.matrix(system))
            for system in (own, report.control)
            if system is not None
        ],
        "measures": MEASURES,
        "measures_chart": charts.measures_chart(report),
        "classes_chart": charts.classes_chart(report),
        "speakers_chart": charts.speakers_chart(report),
        "most_speakers": charts.MOST_SPEAKERS,
        "reliability": charts.reliability_chart(report),
        "n_bins": N_BINS,
        "few": charts.FEW,
        "beside": [(charts.legend_name(system), system) for system, _ in charts.styled(report)],
        "percent": text.percent,
        "percents": text.percents,
        "facts": [(charts.legend_name(system), text.settings_facts(system)) for system in (own, *report.others)],
    }
