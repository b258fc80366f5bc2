"""A run's results in sentences and key numbers, each by a fixed rule from what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from speech2vec.evaluation.bootstrap import Estimate
from speech2vec.evaluation.random_pairs import PRONUNCIATION, TEXT
from speech2vec.evaluation.same_different import Comparison, SameDifferentResult
from speech2vec.evaluation.scores import Evaluation
from speech2vec.features.frontend import owed
from speech2vec.reporting.charts import followed, headline_scores
from speech2vec.reporting.findings import RunResults
from speech2vec.reporting.rendering import KeyNumber
from speech2vec.training.methods import PUBLISHED
from speech2vec.vectors.instances import RESAMPLED, TRAINED, UNTRAINED

# The decoder uses z if at least this share of its gain over the mean frame is lost with z of another word.
_USED = 0.1
# Of word similarity, by kind: beside a number, and in a sentence.
_CONTROLS = {
    "untrained": ("untrained", "the same encoder untrained"),
    "text": ("by text", "vectors of the same transcripts as text"),
}


def summary(found: RunResults) -> str:
    """One sentence: what was trained on what."""
    corpus = found.corpus
    audio = f" from {corpus.hours_of_audio:.1f} h of audio" if corpus.hours_of_audio else ""
    kind = "SYNTHETIC speech" if corpus.synthetic else "speech"
    if found.method == PUBLISHED:
        model = found.settings.get("model", {})
        epochs = f"{found.epoch} epoch{'' if found.epoch == 1 else 's'}" if found.epoch is not None else "some epochs"
        trained = (
            f"A Speech2Vec {model.get('objective', '')} model of {model.get('vector_size', '?')} dimensions, trained "
            f"for {epochs} on"
        )
    else:
        trained = f"Vectors of {found.vector_size} dimensions by the method {found.method}, fitted to"
    foreign = owed(found.store_settings)
    return (
        f"{trained} {corpus.n_words:,} spoken words ({corpus.n_types:,} different ones, {corpus.n_speakers:,} "
        f"speakers){audio}: {kind}; corpus: {corpus.label}. Labels used: {found.labels}."
        + (f" On {foreign}." if foreign else "")
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


def training_facts(found: RunResults) -> list[tuple[str, str]]:
    """Machine, time and speed of the training."""
    epochs = [row for row in found.metrics if "pairs_per_second" in row]
    environment, published = found.environment, found.method == PUBLISHED
    n_epochs = found.settings.get("optimiser", {}).get("epochs", "?")
    fitted_in = [row["seconds"] for row in found.metrics if "seconds" in row] if not published else []
    packages = environment.get("packages", {})
    facts = [
        ("method", found.method),
        ("labels used", found.labels),
        ("epochs trained", f"{found.epoch} of {n_epochs}" if published else None),
        ("started", environment.get("started")),
        ("time in training steps", _duration(sum(row["seconds"] for row in epochs)) if epochs else None),
        ("time to fit", _duration(fitted_in[-1]) if fitted_in else None),
        ("pairs a second", f"{np.mean([row['pairs_per_second'] for row in epochs]):,.0f}" if epochs else None),
        ("machine", environment.get("machine")),
        ("cores", environment.get("cores")),
        ("device", environment.get("device")),
        ("Python, torch", ", ".join(str(v) for v in (environment.get("python"), packages.get("torch")) if v) or None),
        ("command", " ".join(environment.get("command", [])) or None),
    ]
    return [(name, str(value)) for name, value in facts if value is not None]


def fitted_sentence(found: RunResults) -> str:
    """How an encoder that is not trained in epochs does on held-out speech, beside its control."""
    if len(found.metrics) < 2 or "same_different_ap" not in found.metrics[-1]:
        return "What the encoder does on held-out speech was not measured when it was fitted."
    before, after = found.metrics[0], found.metrics[-1]
    changes = [
        f"{before[key]:.4f} untrained, {after[key]:.4f} fitted {where}"
        for key, where in (
            ("same_different_ap", "over all pairs"),
            ("same_different_ap_cross_speaker", "across speakers"),
        )
        if key in before and key in after
    ]
    return (
        f"Fitted in {_duration(after['seconds'])}. Same-different average precision on "
        f"{int(after['same_different_instances']):,} instances of held-out speech, measured then: {'; '.join(changes)}."
    )


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _measured(found: RunResults) -> Mapping[str, Any]:
    """The metrics of the epoch that the report is about."""
    rows = [row for row in found.metrics if row["epoch"] == found.epoch]
    return rows[-1] if rows else {}


def key_figures(found: RunResults) -> list[KeyNumber]:
    """The most important numbers, each with what to compare it with."""
    figures = []
    row = _measured(found)
    if "dev_loss" in row:
        figures.append(
            KeyNumber(
                "held-out loss",
                f"{row['dev_loss']:.4f}",
                f"{row['dev_shuffled']:.4f} with z of other utterances, {row['dev_mean_frame']:.4f} for the mean frame",
            )
        )
    if part := _same_different_basis(found):
        results = part.results
        trained, untrained, resampled = (results[name].all_pairs for name in (TRAINED, UNTRAINED, RESAMPLED))
        interval = f"95 % interval {trained.low:.4f} to {trained.high:.4f}; " if len(trained.drawn) else ""
        figures.append(
            KeyNumber(
                "same-different average precision",
                f"{trained.ap:.4f}",
                f"{interval}{resampled.ap:.4f} resampled, {untrained.ap:.4f} untrained, {trained.chance:.4f} chance"
                + (f"; {part.name}" if part.held_out else ""),
            )
        )
    scores = headline_scores(found.evaluation)
    if scores:
        score = scores["file"]
        figures.append(
            KeyNumber(
                f"Spearman's ρ on {score.benchmark}",
                f"{score.rho:.3f}",
                f"95 % interval {score.low:.2f} to {score.high:.2f}, {score.n_covered:,} of {score.n_pairs:,} pairs"
                + "".join(f"; {one.rho:.3f} {_CONTROLS[kind][0]}" for kind, one in scores.items() if kind in _CONTROLS),
            )
        )
    check = found.homophones.value
    if check is not None:
        beside = f"against random pairs, interval {check.auc_random.low:.2f} to {check.auc_random.high:.2f}"
        figures.append(KeyNumber("homophones' AUC", f"{check.auc_random.value:.2f}", f"{beside}; 1 if from sound"))
    return figures


def _same_different_basis(found: RunResults) -> Comparison | None:
    """The comparison that a verdict may rest on, if there is one."""
    return found.same_different.value.basis if found.same_different.value else None


def lesson(found: RunResults) -> str:
    """The main findings, in two plain sentences: does it know how words sound, and what they mean?"""
    sentences = []
    if part := _same_different_basis(found):
        gains = part.gains(RESAMPLED)
        gain, which = gains[0], "said"
        if part.results[TRAINED].across_speakers.n_same:
            gain, which = gains[1], "said by different speakers"
        which = f"of {part.name}" if part.held_out else which
        if gain is not None:
            relation = "better than" if gain.low > 0 else "worse than" if gain.high < 0 else "no better or worse than"
            sentences.append(f"These vectors tell words {which} apart {relation} plain frames without any training.")
    elif found.same_different.value:
        sentences.append(found.same_different.value.verdict)
    score = headline_scores(found.evaluation).get("file")
    if score is None:
        sentences.append("Whether they know what words mean has not been measured (speech2vec evaluate).")
    else:
        assert score.low is not None
        knows = "also follow" if score.low > 0 else "do not follow"
        beyond = "" if score.low > 0 else ", beyond chance"
        sentences.append(f"They {knows} what words mean, as people judge it{beyond}.")
    return " ".join(sentences)


def statements(found: RunResults) -> list[str]:
    """The results in words: each sentence follows from the numbers in it by a fixed rule."""
    sentences = []
    if found.same_different.value:
        sentences += _same_different(found.same_different.value)
    if found.evaluation is not None and found.metrics and found.epoch != found.metrics[-1]["epoch"]:
        sentences.append(
            f"All else here is of epoch {found.epoch}; word similarity is that of the vectors that were evaluated, "
            "whatever epoch they are of."
        )
    scores = headline_scores(found.evaluation)
    if scores:
        score = scores["file"]
        assert score.low is not None and score.high is not None
        relation = "above" if score.low > 0 else "below" if score.high < 0 else "not distinguishable from"
        sentences.append(
            f"Similarity as judged by people: Spearman's ρ on {score.benchmark} is {score.rho:.3f} "
            f"[{score.low:.2f}, {score.high:.2f}], {relation} chance, "
            f"on {score.n_covered:,} of {score.n_pairs:,} pairs"
            + "".join(f"; {one.rho:.3f} by {_CONTROLS[kind][1]}" for kind, one in scores.items() if kind in _CONTROLS)
            + "."
        )
    sentences += _followed(found.evaluation)
    if found.homophones.value is not None:
        sentences.append(found.homophones.value.verdict)
    if found.near_homophones.value is not None:
        sentences.append(found.near_homophones.value.sentence)
    row = _measured(found)
    if "dev_loss" in row:
        sentences.append(
            _use_of_z(row["dev_loss"], row["dev_shuffled"], row["dev_shuffled_within"], row["dev_mean_frame"])
        )
    return sentences


def _use_of_z(loss: float, shuffled: float, within: float, mean_frame: float) -> str:
    """Does the decoder use the word's vector, and what of it?

    Held-out losses: with the word's z, with z of a word of another utterance, of another word of the same utterance,
    and of the mean frame.
    """
    if loss >= mean_frame:
        return (
            f"The model predicts held-out frames no better than the mean frame does ({loss:.4f}, {mean_frame:.4f}), "
            "which tells nothing about the word's vector."
        )
    share, of_word = ((other - loss) / (mean_frame - loss) for other in (shuffled, within))
    return (
        f"The word's vector {'is' if share >= _USED else 'is hardly'} used by the decoder: with the vector of a word "
        f"of another utterance the held-out loss changes by {100 * (shuffled / loss - 1):+.2f} %, which is "
        f"{100 * share:.0f} % of what the model gains over the mean frame; with that of another word of the same "
        f"utterance by {100 * (within / loss - 1):+.2f} % ({100 * of_word:.0f} %): that part is the word, the rest "
        "is voice and channel."
    )


def _same_different(found: SameDifferentResult) -> list[str]:
    """Did training help to tell words apart? Only if the interval of the difference excludes 0."""
    part = found.basis
    if part is None:
        return [found.verdict]
    trained, untrained = part.results[TRAINED], part.results[UNTRAINED]
    gain, gain_across = part.gains()
    where = f"On {part.name}, whose words training did not know by name, it" if part.held_out else "Training"
    sentences = [
        f"{where} made {_change(gain)}: average precision {untrained.all_pairs.ap:.4f} before, "
        f"{trained.all_pairs.ap:.4f} after{_difference(gain)}."
    ]
    if trained.across_speakers.n_same:
        sentences.append(
            f"Across speakers it made {_change(gain_across)}: {untrained.across_speakers.ap:.4f} before, "
            f"{trained.across_speakers.ap:.4f} after{_difference(gain_across)}."
        )
    return [*sentences, part.worth()]


def _followed(evaluation: Evaluation | None) -> list[str]:
    """What the cosines of the run's vectors follow over random pairs."""
    own = evaluation.first_of("file") if evaluation else ""
    names = {PRONUNCIATION: "the likeness of two words' pronunciations", TEXT: "the cosines of their text vectors"}
    found = {thing: scores[own] for thing, scores in followed(evaluation).items() if own in scores}
    if not found:
        return []
    parts = [f"{names[thing]} with ρ = {one.rho:.3f} [{one.low:.3f}, {one.high:.3f}]" for thing, one in found.items()]
    n_pairs = next(iter(found.values())).n_covered
    return [f"Over {n_pairs:,} random pairs of words of like frequency, cosines follow {', and '.join(parts)}."]


def _change(gain: Estimate | None) -> str:
    if gain is None:
        return "a difference that so few words cannot show"
    if gain.low > 0:
        return "instances easier to tell apart by word"
    if gain.high < 0:
        return "instances harder to tell apart by word"
    return "no clear difference to telling instances apart by word"


def _difference(gain: Estimate | None) -> str:
    return "" if gain is None else f" ({gain.text(4, signed=True)})"
