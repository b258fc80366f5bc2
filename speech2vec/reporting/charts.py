"""The charts of a report: each estimate with its controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from speech2vec.evaluation.average_precision import Precision
from speech2vec.evaluation.bootstrap import Estimate
from speech2vec.evaluation.random_pairs import PRONUNCIATION, TEXT
from speech2vec.evaluation.same_different import DTW, Comparison
from speech2vec.evaluation.scores import Evaluation, Level
from speech2vec.evaluation.similarity import HEADLINE, ModelScores, Score
from speech2vec.reporting.findings import RunResults
from speech2vec.reporting.svg import Dot, DotChart, DotRow, Line, LineChart, dot_chart, line_chart
from speech2vec.vectors.instances import MEAN_FRAME, RESAMPLED, TRAINED, UNTRAINED

# The same colour and shape in all charts, as classes of `style.css`.
STYLES = {TRAINED: "s0", UNTRAINED: "s1", "random": "s2", MEAN_FRAME: "s3", DTW: "s4", RESAMPLED: "s7", "text": "s8"}
OTHER_STYLES = ("s7", "s8", "s9", "s3", "s4")
PUBLISHED_STYLES = ("s5", "s6")
FEW_PAIRS = 100  # below which a row is marked
_KIND_NOTES = {
    "near-homophones": "above .5 if near in sound is near",
    "synonyms": ".5 is chance, 1 if meaning is near",
    PRONUNCIATION: "above 0 if the vectors know the sound",
    TEXT: "above 0 if they know what text tells",
}


@dataclass(frozen=True)
class ScoreChart:
    """The scores at one minimum count."""

    title: str
    chart: DotChart | None


def curve(metrics: Sequence[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
    """A metric over the epochs in which it was measured."""
    return [(row["epoch"], row[key]) for row in metrics if row.get(key) is not None]


def loss_chart(metrics: Sequence[Mapping[str, Any]]) -> LineChart | None:
    """The loss on training and held-out speech, with its controls."""
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
    """Increase of the held-out loss with another word's z, in per cent, over epochs."""
    rows = [row for row in metrics if row.get(key) is not None and row.get("dev_loss")]
    return [(row["epoch"], 100 * (row[key] / row["dev_loss"] - 1)) for row in rows]


def z_ablation_chart(metrics: Sequence[Mapping[str, Any]]) -> LineChart | None:
    """Increase of the held-out loss with another word's z: what z is worth, too small to see in the losses."""
    lines = [
        Line("z of a word of another utterance", "s1", z_ablation(metrics, "dev_shuffled")),
        Line("z of another word of the same utterance", "s4", z_ablation(metrics, "dev_shuffled_within")),
    ]
    return line_chart(lines, "epoch", "loss more than with the right z, %")


def monitor_chart(metrics: Sequence[Mapping[str, Any]]) -> LineChart | None:
    """Same-different average precision on held-out speakers during training."""
    lines = [
        Line("all pairs", "s0", curve(metrics, "same_different_ap")),
        Line("across speakers", "s1", curve(metrics, "same_different_ap_cross_speaker")),
        Line("all pairs, resampled", "s0 dashed", curve(metrics, f"same_different_ap_{RESAMPLED}")),
        Line("across speakers, resampled", "s1 dashed", curve(metrics, f"same_different_ap_cross_speaker_{RESAMPLED}")),
    ]
    kept = [line for line in lines if len(line.points) > 1]
    return line_chart(kept, "epoch", "average precision, held out", include=(0.0,))


def headline_scores(evaluation: Evaluation | None) -> dict[str, Score]:
    """The score of the run (``file``) on the headline benchmark, else the pair-weighted mean, and of its controls.

    By kind: ``untrained``, ``text``. Of the first level; what has no score is left out, and all if the run has none.
    """
    if evaluation is None or not evaluation.levels:
        return {}
    results = evaluation.levels[0].results
    kinds = {kind: _with_interval(results.get(evaluation.first_of(kind))) for kind in ("file", "untrained", "text")}
    own = kinds["file"]
    score = own.get(HEADLINE) or next(iter(own.values()), None)
    if score is None:
        return {}
    return {kind: scores[score.benchmark] for kind, scores in kinds.items() if score.benchmark in scores}


def _with_interval(result: ModelScores | None) -> dict[str, Score]:
    """A model's scores that have an interval by benchmark, the mean first."""
    scores = [result.mean, *result.scores] if result else []
    return {score.benchmark: score for score in scores if None not in (score.rho, score.low, score.high)}


def level_title(min_count: int | None) -> str:
    """Which words are scored."""
    return "all words" if min_count in (None, 1) else f"words that occur {min_count} times or more"


def score_levels(evaluation: Evaluation | None) -> list[ScoreChart]:
    """The word-similarity scores as charts, one for each minimum count."""
    if evaluation is None:
        return []
    return [ScoreChart(level_title(level.min_count), _score_chart(evaluation, level)) for level in evaluation.levels]


def _score_chart(evaluation: Evaluation, level: Level) -> DotChart | None:
    own, styles = evaluation.first_of("file"), _model_styles(evaluation)
    columns = list(zip(evaluation.published.columns.items(), PUBLISHED_STYLES, strict=False))
    scores = {name: [*result.scores, result.mean] for name, result in level.results.items()}
    rows = []
    for position, score in enumerate(scores[own]):
        others = ((name, of_model[position]) for name, of_model in scores.items())
        dots = [
            Dot(
                TRAINED if name == own else name,
                styles[name],
                other.rho,
                other.low,
                other.high,
                _pairs(other.n_covered),
            )
            for name, other in others
            if other.rho is not None
        ]
        dots += [
            Dot(title, style, table[score.benchmark], note="no coverage or interval given")
            for (title, table), style in columns
            if score.benchmark in table
        ]
        few = ": few" if score.n_covered < FEW_PAIRS else ""
        note = f"{score.n_covered:,} of {score.n_pairs:,} pairs{few}"
        strong = score.benchmark == HEADLINE or score is level.results[own].mean
        rows.append(DotRow(score.benchmark, note, dots, strong))
    return dot_chart(sorted(rows, key=lambda row: not row.strong), "Spearman's ρ with people's ratings", include=(0.0,))


def followed(evaluation: Evaluation | None) -> dict[str, dict[str, Score]]:
    """What cosines follow over random pairs, among the most frequent words that were scored: by thing, by model."""
    found: dict[str, dict[str, Score]] = {}
    for model, scores in evaluation.levels[-1].follows.items() if evaluation and evaluation.levels else ():
        for score in scores:
            if score.rho is not None:
                found.setdefault(score.benchmark, {})[model] = score
    return found


def followed_chart(evaluation: Evaluation | None) -> DotChart | None:
    """What cosines follow over random pairs of words."""
    if evaluation is None:
        return None
    own, styles = evaluation.first_of("file"), _model_styles(evaluation)
    rows = []
    for thing, scores in followed(evaluation).items():
        dots = [
            Dot(TRAINED if name == own else name, styles[name], one.rho, one.low, one.high, _pairs(one.n_covered))
            for name, one in scores.items()
            if one.rho is not None
        ]
        rows.append(DotRow(thing, _KIND_NOTES[thing], dots))
    return dot_chart(rows, "Spearman's ρ with the cosine", include=(0.0,))


def _pairs(n_pairs: int) -> str:
    return f"{n_pairs:,} pairs"


def _model_styles(evaluation: Evaluation) -> dict[str, str]:
    styles: dict[str, str] = {}
    others = iter(OTHER_STYLES * len(evaluation.models))
    for model in evaluation.models:
        style = "s0" if model.kind == "file" else STYLES.get(model.kind, "s2")
        styles[model.name] = style if style not in styles.values() else next(others)
    return styles


def same_different_chart(part: Comparison) -> DotChart | None:
    """Average precision by encoder, over all pairs and across speakers."""
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
    """Accuracy of the speaker probe by encoder."""
    if found.speaker.value is None:
        return None
    probes = found.speaker.value
    first = next(iter(probes.values()))
    dots = [
        Dot(name, STYLES[name], 100 * probe.accuracy, 100 * probe.low, 100 * probe.high)
        for name, probe in probes.items()
    ]
    dots.append(Dot("chance", "s2", 100 * first.chance))
    note = f"{first.n_speakers} speakers, {first.n_test:,} words of unseen utterances"
    return dot_chart([DotRow("speaker identified", note, dots)], "% of words", include=(0.0,))


def auc_chart(runs: Sequence[tuple[str, str, RunResults]]) -> DotChart | None:
    """The AUCs of homophones, near-homophones and synonyms, for one run or several (name, style, results)."""
    rows: dict[str, DotRow] = {}
    for name, style, found in runs:
        estimates: list[tuple[str, Estimate | None, int, str]] = []
        if found.homophones.value is not None:
            check = found.homophones.value
            estimates += [
                ("homophones against random pairs", check.auc_random, check.n_pairs, "1 if vectors come from sound"),
                ("homophones against halves", check.auc_split, check.n_pairs, ".5 if vectors come from sound"),
            ]
        if found.near_homophones.value is not None:
            for kind in found.near_homophones.value.kinds:
                note = _KIND_NOTES[kind.kind]
                estimates.append((f"{kind.kind} against random pairs", kind.auc_random, kind.n_pairs, note))
        for label, estimate, n_pairs, note in estimates:
            if estimate is not None:
                dot = Dot(name or TRAINED, style, estimate.value, estimate.low, estimate.high, _pairs(n_pairs))
                rows.setdefault(label, DotRow(label, note, [])).dots.append(dot)
    return dot_chart(list(rows.values()), "AUC", include=(0.0, 1.0))


def variability_chart(found: RunResults) -> DotChart | None:
    """Relative spread of a word's instances by its frequency."""
    if found.variability.value is None:
        return None
    by_name = found.variability.value
    rows = []
    for number, one in enumerate(next(iter(by_name.values()))):
        dots = [
            Dot(name, STYLES[name], relative)
            for name, bins in by_name.items()
            if (relative := bins[number].relative) is not None
        ]
        rows.append(DotRow(f"{one.label} instances", f"{one.n_words:,} words", dots))
    return dot_chart(rows, "spread within a word ÷ spread over all words", include=(0.0, 1.0))
