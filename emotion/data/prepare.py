"""A corpus folder becomes a prepared corpus: filtered by class, with features; all that is left out is named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from emotion.corpora.base import EmotionCorpus, LabelSet, label_of
from emotion.corpora.ravdess import NOT_SPEECH
from emotion.data.composite import pair
from emotion.data.dataset import SYNTHETIC, Prepared, PreparedWriter
from emotion.features.extraction import Extracted, extract_all
from emotion.features.settings import FeatureSettings
from speech2vec.corpus.manifest import Utterance
from speech2vec.corpus.readers import Problem, is_synthetic
from speech2vec.runtime.config import Settings, fingerprint, load_settings
from speech2vec.runtime.environment import environment
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import atomic_folder
from speech2vec.runtime.progress import track
from speech2vec.training.presets import preset_of

OUTSIDE = "label outside the four classes"


BY_DESIGN = frozenset((OUTSIDE, NOT_SPEECH))


"""Reasons that are no failure: the recipe leaves these out."""


class PrepareSettings(Settings):
    """What changes a prepared corpus.

    Parameters
    ----------
    labels : "four" or "full"
        The four classes neu, hap, sad and ang, or all labels of the corpus.
    features : FeatureSettings
    """

    labels: LabelSet = "four"
    features: FeatureSettings = FeatureSettings()


PRESETS: Mapping[str, Mapping[str, Any]] = {
    # Chosen on RAVDESS with the network of the same name (emotion/settings.py). That log-mel energies are worth trying
    # was known from a linear classifier scored on all folds (docs/emotion.md). Four windows make a step of the Bi-LSTM.
    "default": {"features": {"window": 0.05, "hop": 0.025, "n_mels": 40}},
    # Krishna & Reddy (2019), section 3: the 34 features in windows of 0.1 s without overlap.
    "paper": {},
}


def prepare_settings(preset: str, file: Path | None = None, overrides: Sequence[str] = ()) -> PrepareSettings:
    """A preset's settings, changed by a TOML file and by ``key.sub=value``.

    Raises
    ------
    UserError
        If there is no such preset, or a setting is unknown or of a wrong type.
    """
    return load_settings(PrepareSettings, file, overrides, preset_of(PRESETS, preset))


@dataclass(frozen=True)
class Outcome:
    """What `prepare_corpus` and `prepare_composite` wrote: the contents of meta.json and report.json."""

    meta: Mapping[str, Any]
    report: Mapping[str, Any]

    @property
    def failures(self) -> dict[str, int]:
        """How many utterances were left out for each reason, other than by design."""
        return {reason: n for reason, n in self.report["reasons"].items() if reason not in BY_DESIGN}


def prepare_corpus(
    corpus: EmotionCorpus,
    output: Path,
    settings: PrepareSettings | None = None,
    *,
    name: str | None = None,
    jobs: int = 1,
    quiet: bool = True,
) -> Outcome:
    """Write a prepared corpus.

    Parameters
    ----------
    corpus : EmotionCorpus
    output : Path
        The folder; it appears (or is replaced) once all is written.
    settings : PrepareSettings or None
    name : str or None
        What tables call the set; the corpus' kind where None. Before the name of speech that lies in a synthesised
        corpus stands SYNTHETIC, for every output to say so.
    jobs : int
        Processes.
    quiet : bool

    Raises
    ------
    UserError
        No utterance can be used.
    """
    settings = settings or PrepareSettings()
    left_out = list(corpus.problems)
    wanted: list[tuple[Utterance, str]] = []
    for utterance in corpus.utterances:
        label = label_of(utterance, settings.labels)
        if label is None:
            left_out.append(Problem(utterance.utterance_id, OUTSIDE, utterance.extras["label_full"]))
        else:
            wanted.append((utterance, label))
    if not corpus.utterances and corpus.problems:
        reasons = ", ".join(f"{reason} ({n:,})" for reason, n in Counter(p.reason for p in left_out).most_common())
        raise UserError(f"no utterance can be used: {reasons}; the first: {left_out[0].detail}")
    if not wanted:
        found = Counter(u.extras["label_full"] for u in corpus.utterances)
        raise UserError(
            f"no utterance has one of the four classes; the labels are {', '.join(map(str, found)) or 'missing'} "
            "(--set labels=full takes them as they are)"
        )
    sampling_rates: Counter[int] = Counter()
    with atomic_folder(output) as folder, PreparedWriter(folder, len(settings.features.names)) as writer:
        spoken = [utterance for utterance, _ in wanted if not utterance.extras.get("text_only")]
        results = extract_all(spoken, settings.features, jobs)
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
            raise UserError(f"none of {len(wanted):,} utterances can be used; the first: {left_out[-1].detail}")
        meta = {
            "kind": corpus.kind,
            "name": _name_of(corpus, name or corpus.kind),
            "composite": False,
            "label_set": settings.labels,
            "labels": corpus.classes(settings.labels),
            **feature_columns(settings.features),
            "sampling_rates": {str(rate): count for rate, count in sorted(sampling_rates.items())},
        }
        report = {
            **report_columns(len(writer.utterances), left_out),
            "notes": [asdict(note) for note in corpus.notes],
            "count_differences": corpus.count_differences(settings.labels),
        }
        return Outcome(writer.finish(meta, report), report)


def _name_of(corpus: EmotionCorpus, name: str) -> str:
    synthetic = any(is_synthetic(folder) for folder in {utterance.audio.parent for utterance in corpus.utterances})
    return f"{SYNTHETIC}-{name}" if synthetic and SYNTHETIC not in name else name


def prepare_composite(audio: Prepared, text: Prepared, output: Path, seed: int) -> Outcome:
    """Write a COMPOSITE set: the features of `audio`, each beside a text of `text` with the same label.

    Parameters
    ----------
    audio, text : Prepared
        Neither may be COMPOSITE itself.
    output : Path
    seed : int
        Of the pairing; it is part of the set's name.

    Raises
    ------
    UserError
        One of the sets is COMPOSITE itself, has no audio (of `audio`), or no text fits a recording.
    """
    for prepared in (audio, text):
        if prepared.composite:
            raise UserError(f"{prepared.folder} is COMPOSITE itself: take the corpora it was made of")
    if not len(audio.features):
        raise UserError(f"{audio.folder} holds text only: a composite needs the audio of one set")
    pairing = pair(audio, text, seed)
    if not pairing.pairs:
        raise UserError(f"no text of {text.folder} has the label of a recording of {audio.folder}")
    sounds, texts = audio.utterances(), text.utterances()
    with atomic_folder(output) as folder, PreparedWriter(folder, audio.features.shape[1]) as writer:
        for i, j in pairing.pairs:
            extras = {
                "label_full": audio.label_full[i],
                "dialogue": text.dialogue[j],
                "composite": True,
                "text_id": text.utterance_id[j],
            }
            sound = sounds[i]
            extras |= {name: sound.extras[name] for name in ("session", "sex") if sound.extras.get(name) is not None}
            name = f"{sound.utterance_id}+{text.utterance_id[j]}"
            utterance = replace(sound, utterance_id=name, text=texts[j].text, extras=extras)
            writer.add(utterance, audio.segment(i), float(audio.duration[i]), audio.label[i])
        meta = {
            "kind": "composite",
            "name": f"COMPOSITE-{audio.name}-{text.name}-seed{seed}",
            "composite": True,
            "composed_of": {"audio": audio.name, "text": text.name, "seed": seed},
            **{key: audio.meta[key] for key in ("label_set", "labels", "features", "fingerprint", "feature_names")},
            "sampling_rates": audio.meta["sampling_rates"],
        }
        report = {
            **report_columns(len(pairing.pairs), pairing.without_text),
            "unused_texts": [asdict(problem) for problem in pairing.unused],
            "count_differences": None,
        }
        return Outcome(writer.finish(meta, report), report)


def feature_columns(settings: FeatureSettings) -> dict[str, Any]:
    """What meta.json says of the features."""
    return {
        "features": settings.model_dump(mode="json"),
        "fingerprint": fingerprint(settings),
        "feature_names": settings.names,
    }


def report_columns(kept: int, left_out: Sequence[Problem]) -> dict[str, Any]:
    """What every report.json says: how many utterances there were, how many were kept, and each that was not."""
    return {
        "asked": kept + len(left_out),
        "kept": kept,
        "reasons": dict(Counter(problem.reason for problem in left_out).most_common()),
        "left_out": [asdict(problem) for problem in left_out],
        "environment": environment(),
    }
