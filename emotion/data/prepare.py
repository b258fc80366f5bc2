"""Prepare a corpus: select its utterances by class and compute their features; every exclusion is reported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from emotion.corpora.base import EmotionCorpus, LabelSet, label_of
from emotion.corpora.ravdess import NOT_SPEECH
from emotion.data.dataset import COMPOSITE, SYNTHETIC, PreparedWriter, data_warning
from emotion.features.extraction import Extracted, extract_all
from emotion.features.settings import FeatureSettings
from speech2vec.corpus.manifest import REPORT_FILE, Utterance
from speech2vec.corpus.readers import Problem, is_synthetic
from speech2vec.runtime.config import Settings, fingerprint, load_settings
from speech2vec.runtime.display import Displayed, Table
from speech2vec.runtime.environment import environment
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import atomic_folder
from speech2vec.runtime.progress import track
from speech2vec.training.presets import preset_of

OUTSIDE, NOT_CHOSEN = "label outside the four classes", "label that was not chosen"
BY_DESIGN = frozenset((OUTSIDE, NOT_CHOSEN, NOT_SPEECH))  # reasons that are not failures: the recipe excludes these


class PrepareSettings(Settings):
    """Settings that affect a prepared corpus.

    Parameters
    ----------
    labels : {"four", "full"} or tuple of str
        The four classes neu, hap, sad and ang; all labels of the corpus; or these, of either.
    features : FeatureSettings
    """

    labels: LabelSet = "four"
    features: FeatureSettings = FeatureSettings()


PRESETS: Mapping[str, Mapping[str, Any]] = {
    # Selected on RAVDESS with the classifier preset of the same name (emotion/settings.py), except that log-mel
    # energies help was known from a linear classifier scored on all folds (docs/emotion.md). One step of the Bi-LSTM
    # spans four windows.
    "default": {"features": {"loudness": "active", "window": 0.05, "hop": 0.025, "n_mels": 40}},
    # Krishna & Reddy (2019), section 3: the 34 features in windows of 0.1 s without overlap.
    "paper": {},
}


def prepare_settings(
    preset: str, file: Path | None = None, overrides: Sequence[str] = (), changes: Mapping[str, Any] | None = None
) -> PrepareSettings:
    """A preset's settings, overridden by a TOML file, by a mapping of dotted keys and by ``key.sub=value``.

    Raises
    ------
    UserError
        The preset or a setting is unknown, or a value is of the wrong type.
    """
    return load_settings(PrepareSettings, file, overrides, preset_of(PRESETS, preset), changes=changes)


@dataclass(frozen=True)
class Preparation(Displayed):
    """The outcome of `prepare_corpus`; prints as counts by session and class, and what was left out.

    Parameters
    ----------
    folder : Path
    meta, report : mapping
        The contents of ``meta.json`` and ``report.json``.
    """

    folder: Path
    meta: Mapping[str, Any]
    report: Mapping[str, Any]

    @property
    def failures(self) -> dict[str, int]:
        """Number of utterances left out for each reason, other than by design."""
        return {reason: n for reason, n in self.report["reasons"].items() if reason not in BY_DESIGN}

    def to_dict(self) -> dict[str, Any]:
        return {"folder": str(self.folder), "meta": self.meta, "report": self.report}

    def display_parts(self) -> list[str | Table]:
        """The text of the report."""
        counts, labels = self.meta["counts"], list(self.meta["labels"])
        lines = [
            f"{self.meta['name']}: {counts['utterances']:,} utterances, {counts['speakers']:,} speakers, "
            f"{counts['seconds'] / 3600:.2f} h, {counts['windows']:,} windows"
        ]
        if warning := data_warning(self.meta["name"]):
            lines.append(f"caution: {warning}")
        if counts["text_only"]:
            lines.append(f"text only: {counts['text_only']:,} utterances")
        if counts["without_words"]:
            lines.append(f"transcripts without words: {counts['without_words']:,}")
        width = max(8, *(len(label) + 2 for label in labels))
        lines.append(f"{'session':<9}" + "".join(f"{label:>{width}}" for label in [*labels, "total"]))
        for session, row in [*counts["by_session"].items(), ("all", counts["by_label"])]:
            numbers = [*(row[label] for label in labels), sum(row.values())]
            lines.append(f"{session:<9}" + "".join(f"{number:>{width},}" for number in numbers))
        if self.report["absent"]:
            lines.append(f"classes that do not occur: {', '.join(self.report['absent'])}")
        if self.meta["kind"] == "table" and self.meta["label_set"] != "full":
            lines.append(_label_line(self.report["labels"]))
        if counts["by_style"]:
            lines.append(", ".join(f"{style} {count:,}" for style, count in counts["by_style"].items()))
        differences = self.report["count_differences"]
        if differences and SYNTHETIC in self.meta["name"]:
            lines.append("its counts are not compared with those of the full release")
        elif differences:
            more = f"; and {len(differences) - 3} more (in {REPORT_FILE})" if len(differences) > 3 else ""
            lines.append(f"COUNTS DIFFER from the full release: {'; '.join(differences[:3])}{more}")
        elif differences is not None:
            lines.append("counts match the full release")
        lines += [f"left out, {reason}: {count:,}" for reason, count in self.report["reasons"].items()]
        notes = Counter(note["reason"] for note in self.report["notes"])
        lines += [f"kept, but {reason}: {count:,}" for reason, count in notes.items()]
        if self.report["reasons"] or notes:
            lines.append("report.json lists each of them")
        return ["\n".join(lines)]


def prepare_corpus(
    corpus: EmotionCorpus,
    output: Path,
    settings: PrepareSettings | None = None,
    *,
    name: str | None = None,
    jobs: int = 1,
    quiet: bool = True,
) -> Preparation:
    """Write a prepared corpus.

    Parameters
    ----------
    corpus : EmotionCorpus
    output : Path
        The folder; created or replaced only when everything has been written.
    settings : PrepareSettings or None
    name : str or None
        The name of the corpus in tables and reports; None takes that of the corpus. It is prefixed with SYNTHETIC or
        COMPOSITE if the data is not natural speech.
    jobs : int
        Number of processes.
    quiet : bool

    Raises
    ------
    UserError
        No utterance is usable, or the features' encoder is not on disk.
    """
    settings = settings or PrepareSettings()
    features = settings.features.resolved
    classes = corpus.classes(settings.labels)
    left_out = list(corpus.problems)
    wanted: list[tuple[Utterance, str]] = []
    for utterance in corpus.utterances:
        label = label_of(utterance, settings.labels)
        if label is None:
            reason = OUTSIDE if settings.labels == "four" else NOT_CHOSEN
            left_out.append(Problem(utterance.utterance_id, reason, utterance.extras["label_full"]))
        else:
            wanted.append((utterance, label))
    if not corpus.utterances and corpus.problems:
        reasons = ", ".join(f"{reason} ({n:,})" for reason, n in Counter(p.reason for p in left_out).most_common())
        raise UserError(f"no utterance is usable: {reasons}; the first: {left_out[0].detail}")
    if not wanted:
        found = ", ".join(dict.fromkeys(u.extras["label_full"] for u in corpus.utterances))
        raise UserError(
            f"no utterance has one of the classes {', '.join(classes)}; the labels are {found or 'missing'} "
            "(--set labels=full keeps all labels)"
        )
    sampling_rates: Counter[int] = Counter()
    with atomic_folder(output) as folder, PreparedWriter(folder, len(features.names)) as writer:
        spoken = [utterance for utterance, _ in wanted if not utterance.extras.get("text_only")]
        results = extract_all(spoken, features, jobs)
        for utterance, label in track(wanted, "features", len(wanted), "utterances", quiet):
            if utterance.extras.get("text_only"):
                writer.add(utterance, None, None, label)
                continue
            result = next(results)
            if isinstance(result, Extracted):
                sampling_rates[result.sampling_rate] += 1
                writer.add(utterance, result.features, result.duration, label)
            else:
                left_out.append(result)
        if not writer.utterances:
            raise UserError(f"none of {len(wanted):,} utterances is usable; the first: {left_out[-1].detail}")
        occurring = {utterance.extras["label"] for utterance in writer.utterances}
        meta = {
            "kind": corpus.kind,
            "name": _marked(name or corpus.name or corpus.kind, corpus.utterances),
            "label_set": settings.labels,
            "labels": [label for label in classes if label in occurring],
            "features": features.model_dump(mode="json"),
            "fingerprint": fingerprint(features),
            "feature_names": features.names,
            "sampling_rates": {str(rate): count for rate, count in sorted(sampling_rates.items())},
        }
        report = {
            "asked": len(writer.utterances) + len(left_out),
            "kept": len(writer.utterances),
            "reasons": dict(Counter(problem.reason for problem in left_out).most_common()),
            "left_out": [asdict(problem) for problem in left_out],
            "environment": environment(),
            "absent": [label for label in classes if label not in occurring],
            "labels": _label_map(corpus.utterances, settings.labels),
            "notes": [asdict(note) for note in corpus.notes],
            "count_differences": corpus.count_differences(settings.labels),
        }
        return Preparation(output, writer.finish(meta, report), report)


def _label_map(utterances: Sequence[Utterance], label_set: LabelSet) -> dict[str, dict[str, Any]]:
    """The class of each label of the corpus, None if it is left out, and how many utterances have it."""
    counts = Counter((u.extras["label_full"], label_of(u, label_set)) for u in utterances)
    return {own: {"class": label, "utterances": n} for (own, label), n in counts.items()}


def _label_line(labels: Mapping[str, Mapping[str, Any]]) -> str:
    kept = [f"{own} → {of['class']} ({of['utterances']:,})" for own, of in labels.items() if of["class"] is not None]
    out = [f"{own} {of['utterances']:,}" for own, of in labels.items() if of["class"] is None]
    rest = f"; left out: {', '.join(out)} (--set labels=full keeps them)" if out else ""
    return f"labels: {', '.join(kept)}{rest}"


def _marked(name: str, utterances: Sequence[Utterance]) -> str:
    """The name, prefixed with what the data is if it is not natural speech."""
    markers = {
        COMPOSITE: any(utterance.extras.get("composite") for utterance in utterances),
        SYNTHETIC: any(is_synthetic(folder) for folder in {utterance.audio.parent for utterance in utterances}),
    }
    for marker, applies in markers.items():
        if applies and marker not in name:
            name = f"{marker}-{name}"
    return name
