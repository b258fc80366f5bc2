"""The main findings about an emotion run, in sentences: each follows from the numbers in it by a fixed rule."""

from __future__ import annotations

import numpy as np

from emotion.evaluation.calibration import Calibration
from emotion.reporting.findings import UA, RunReport, System
from speech2vec.evaluation.bootstrap import Estimate
from speech2vec.reporting.rendering import KeyNumber


def percent(share: float, digits: int = 0) -> str:
    """A share as a number of per cent.

    Examples
    --------
    >>> percent(0.6812), percent(0.6812, 1)
    ('68 %', '68.1 %')
    """
    return f"{100 * share:.{digits}f} %"


def percents(estimate: Estimate, digits: int = 0, signed: bool = False) -> str:
    """The ends of an interval, in per cent or points.

    Examples
    --------
    >>> percents(Estimate(0.1, -0.02, 0.3), signed=True)
    '−2 to +30'
    """
    shown = f"{'+' if signed else ''}.{digits}f"
    return f"{100 * estimate.low:{shown}} to {100 * estimate.high:{shown}}".replace("-", "\u2212")


def points(estimate: Estimate) -> str:
    """A difference, in points, with its interval.

    Examples
    --------
    >>> points(Estimate(0.026, -0.026, 0.085))
    '+2.6 points [−2.6 to +8.5]'
    """
    value = f"{100 * estimate.value:+.1f}".replace("-", "\u2212")
    return f"{value} points [{percents(estimate, 1, signed=True)}]"


def chance(system: System) -> float:
    """UA of guessing among the classes that occur."""
    return 1 / max(1, sum(one.recall is not None for one in system.classes))


def summary(report: RunReport) -> str:
    """One sentence: what was tested on whom."""
    run, own = report.own.run, report.own
    seeds = len(run.info["seeds"])
    words = f", with word vectors {run.info['embeddings']}" if run.info["embeddings"] else ""
    return (
        f"{own.title[:1].upper()}{own.title[1:]} ({run.model_name}{words}), trained on {run.corpus} and tested on "
        f"{own.scores.n:,} of its utterances, by {_count(own.n_speakers, 'speaker')} none of whom it was trained on "
        f"({run.info['protocol']}, {_count(len(run.splits), 'fold')}, {_count(seeds, 'seed')})."
    )


def key_numbers(report: RunReport) -> list[KeyNumber]:
    """The numbers at the top."""
    own, ua = report.own, report.own.interval(UA)
    guessing = f"guessing {percent(chance(own))}"
    control = f"; {percent(report.control.interval(UA).value)} {report.control.title}" if report.control else ""
    numbers = [
        KeyNumber(
            "recall, mean over classes (UA)",
            percent(ua.value, 1),
            f"95 % interval {percents(ua)} over {own.over}; {guessing}{control}",
        )
    ]
    if report.control and report.control.differences:
        gain = report.control.differences[UA]
        value, _, interval = points(gain).partition(" points ")
        numbers.append(KeyNumber("better than the control by", f"{value} points", f"95 % interval {interval[1:-1]}"))
    if own.calibration:
        shown = own.calibration
        numbers.append(
            KeyNumber(
                "expected calibration error",
                percent(shown.error, 1),
                f"sure to {percent(shown.confidence)}, right in {percent(shown.accuracy)}; up to "
                f"{percent(shown.chance, 1)} is chance",
            )
        )
    if len(report.speakers) > 1:
        worst, best = report.speakers[0], report.speakers[-1]
        numbers.append(
            KeyNumber(
                "right, by speaker",
                f"{100 * worst.accuracy.value:.0f} to {percent(best.accuracy.value)}",
                f"of {len(report.speakers)} speakers, from {worst.speaker} to {best.speaker}",
            )
        )
    return numbers


def statements(report: RunReport) -> list[str]:
    """The main findings: how good, against the control, what it confuses, whether its probabilities hold, on whom."""
    found = [_how_good(report.own), _against_control(report), *_confusions(report.own)]
    if report.own.calibration:
        found.append(_calibrated(report.own.calibration))
    found += _by_speaker(report)
    found += [_beside(report.own, other) for other in report.others]
    found.append(
        f"All of it is about speech like that of {report.own.run.corpus}: another corpus, with other people, rooms and "
        "ways to show a feeling, is harder; speech2vec-emotion evaluate RUN --on PREPARED measures by how much."
    )
    return found


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _how_good(own: System) -> str:
    ua, guessing = own.interval(UA), chance(own)
    relation = "better than" if ua.low > guessing else "worse than" if ua.high < guessing else "no better than"
    classes = len([one for one in own.classes if one.recall])
    return (
        f"How good? Of each of {classes} classes it recognises {percent(ua.value)} in the mean (95 % interval "
        f"{percents(ua)} over {own.over}), {relation} guessing ({percent(guessing)})."
    )


def _against_control(report: RunReport) -> str:
    if report.control is None:
        return (
            "Against the control? None is beside this run: it is the linear SVM itself, was trained on utterances "
            "without audio, or the linear SVM could not be trained on its folds."
        )
    return f"Against the control? {_difference(report.control, f'the {report.control.title}')}"


def _beside(own: System, other: System) -> str:
    name = f"{other.name} ({other.title})"
    if not other.differences:
        return (
            f"Beside it: {name} has a UA of {percent(other.interval(UA).value)} on other utterances, which cannot be "
            "compared."
        )
    return f"Beside it: {_difference(other, name)}"


def _difference(other: System, name: str) -> str:
    gain = other.differences[UA]
    verdict = "better" if gain.low > 0 else "worse" if gain.high < 0 else "not clearly better or worse"
    return (
        f"This run is {verdict} than {name} on the same folds, which reaches "
        f"{percent(other.interval(UA).value)}: {points(gain)}."
    )


def _confusions(own: System) -> list[str]:
    scored = [one for one in own.classes if one.recall is not None]
    if len(scored) < 2:
        return []
    best = max(scored, key=lambda one: one.recall.value if one.recall else 0)
    worst = min(scored, key=lambda one: one.recall.value if one.recall else 0)
    shares = own.shares.copy()
    np.fill_diagonal(shares, 0)
    true, taken = np.unravel_index(int(shares.argmax()), shares.shape)
    assert best.recall is not None and worst.recall is not None
    sentence = (
        f"What does it confuse? {best.label} is recognised best ({percent(best.recall.value)}), {worst.label} worst "
        f"({percent(worst.recall.value)})"
    )
    if shares[true, taken] > 0:
        sentence += (
            f"; most often it takes {own.labels[true]} for {own.labels[taken]} ({percent(shares[true, taken])} of "
            f"{own.labels[true]})"
        )
    return [f"{sentence}."]


def _calibrated(found: Calibration) -> str:
    sure = f"it is sure to {percent(found.confidence)} in the mean and right in {percent(found.accuracy)}"
    error = f"expected calibration error {percent(found.error, 1)}"
    most = f"up to {percent(found.chance, 1)} on so many utterances"
    if found.calibrated:
        return f"Can its probabilities be believed? Yes: {sure}; {error}, which chance alone can show ({most})."
    gap = found.confidence - found.accuracy
    direction = "too sure" if gap > found.error / 2 else "not sure enough" if gap < -found.error / 2 else "off"
    return (
        f"Can its probabilities be believed? Not as they are, they are {direction}: {sure}; {error}, more than chance "
        f"shows ({most})."
    )


def _by_speaker(report: RunReport) -> list[str]:
    if len(report.speakers) < 2:
        return []
    worst, best = report.speakers[0], report.speakers[-1]
    middle = float(np.median([one.accuracy.value for one in report.speakers]))
    return [
        f"From speaker to speaker? Between {percent(worst.accuracy.value)} (speaker {worst.speaker}) and "
        f"{percent(best.accuracy.value)} (speaker {best.speaker}) of the utterances are right; in the median "
        f"{percent(middle)}."
    ]


def settings_facts(system: System) -> list[tuple[str, str]]:
    """How a run was trained, for a table."""
    run, info = system.run, system.run.info
    chosen = run.settings.training
    facts = [
        ("classifier", f"{system.title} ({run.model_name})"),
        ("corpus", run.corpus),
        ("classes", ", ".join(run.labels)),
        ("protocol", f"{info['protocol']}, {_count(len(run.splits), 'fold')}"),
        ("seeds", ", ".join(map(str, info["seeds"]))),
        ("word vectors", str(info["embeddings"] or "none")),
        ("normalisation", str(chosen.normalisation)),
        ("calibration", "a temperature" if chosen.calibration else "none"),
        ("test utterances", f"{system.scores.n:,}"),
        ("test speakers", f"{system.n_speakers:,}"),
    ]
    return facts
