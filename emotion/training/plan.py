"""Plan a training: check the corpus against the plan, then gather what its run holds, or continue one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from emotion.classifiers.base import Classifier
from emotion.classifiers.registry import load_classifier
from emotion.data.audio_inputs import voice_functionals
from emotion.data.dataset import CACHE, COMPOSITE, Prepared
from emotion.data.examples import AUDIO_INPUTS, FRAMES, FUNCTIONALS, STATISTICS, TEXT_INPUTS, VECTORS
from emotion.data.normalise import check_features, warn_of_speakers
from emotion.data.reference import Reference
from emotion.data.splits import BY_SPEAKER, Split, SplitProtocol, check_split, make_splits, without_shared_dialogues
from emotion.features.functionals import VERSION
from emotion.features.settings import FeatureSettings
from emotion.models.word_vectors import (
    SEGMENTS,
    Pretrained,
    Vocabulary,
    WordSegments,
    coverage,
    is_segments,
    load_pretrained,
    source_path,
)
from emotion.settings import EmotionSettings
from emotion.training.run import Run
from speech2vec.runtime.config import validate_settings
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import inside, remove_partial
from speech2vec.runtime.progress import log
from speech2vec.training.run import LAST
from speech2vec.training.run import Run as Speech2VecRun
from speech2vec.vectors.portable import PortableEncoder

_LONGEST_STEP = 0.25  # seconds, of the acoustic Bi-LSTM; longer steps merge syllables


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to train, apart from the settings.

    Parameters
    ----------
    model : str
        The name of a classifier (`emotion.classifiers.registry.load_classifier`).
    protocol : SplitProtocol
    embeddings : str or None
        A word2vec file, ``random:D``, or ``segments:RUN``.
    seeds : sequence of int
    n_folds : int
        Number of folds of the protocol ``speaker-folds``.
    aligned : Path or None
        The word alignment for ``segments:RUN``.
    checkpoint : {"last", "best"}
        Which encoder of ``segments:RUN``.
    """

    model: str
    protocol: SplitProtocol = SplitProtocol.speaker_folds
    embeddings: str | None = None
    seeds: Sequence[int] = (0, 1, 2, 3, 4)
    n_folds: int = 6
    aligned: Path | None = None
    checkpoint: str = LAST

    def to_json(self) -> dict[str, Any]:
        """The part of ``run.json`` that must match before a run is continued."""
        of_segments = {"checkpoint": self.checkpoint} if is_segments(self.embeddings) else {}
        return {
            "model": self.model,
            "protocol": self.protocol.value,
            "source": self.embeddings,
            "seeds": list(self.seeds),
            "n_folds": self.n_folds,
            **of_segments,
        }


def check_plan(prepared: Prepared, plan: Plan) -> list[Split]:
    """Check that a corpus meets the requirements of a plan, before anything is written.

    Returns
    -------
    list of Split
        With speakers and dialogues disjoint between parts, and every class in training. Of the protocols by speaker,
        training and development lack the utterances of dialogues that continue in another part.

    Raises
    ------
    UserError
        The corpus lacks something that the model or the protocol requires.
    """
    if is_segments(plan.embeddings) != (plan.aligned is not None):
        raise UserError("--embeddings segments:RUN requires --aligned ALIGNED (from speech2vec-align), and vice versa")
    classifier = load_classifier(plan.model)
    develop = classifier.uses_development
    _check_inputs(prepared, classifier, plan.embeddings)
    sexes = [utterance.extras.get("sex") for utterance in prepared.utterances()]
    splits = make_splits(
        plan.protocol,
        list(prepared.speaker),
        list(prepared.session),
        sexes=sexes,
        n_folds=plan.n_folds,
        develop=develop,
    )
    if plan.protocol in BY_SPEAKER:
        splits = [without_shared_dialogues(split, prepared.dialogue, develop) for split in splits]
    for split in splits:
        inside(prepared.folder, split.name)  # a speaker or session names a fold, and the fold a folder
        if not develop:  # they are trained on
            split = replace(split, train=np.concatenate([split.train, split.development]), development=split.test[:0])
        check_split(split, prepared.dialogue, "dialogue")
        missing = [label for label in prepared.labels if not (prepared.label[split.train] == label).any()]
        if missing:
            nowhere = [label for label in missing if label not in prepared.label]
            advice = f" ({', '.join(nowhere)} occurs nowhere: prepare the corpus again)" if nowhere else ""
            names = ", ".join(missing)
            raise UserError(f"split {split.name}: the training part has no utterance of class {names}{advice}")
    return splits


def _check_inputs(prepared: Prepared, classifier: Classifier, embeddings: str | None) -> None:
    """Check that the corpus has what the classifier asks for."""
    model, inputs = classifier.name, classifier.inputs
    if len(prepared) == 0:
        raise UserError(f"{prepared.folder} contains no utterances")
    if len(prepared.labels) < 2:
        raise UserError(f"{prepared.folder} has one class ({prepared.labels[0]}): there is nothing to tell apart")
    if inputs & AUDIO_INPUTS:
        silent = np.flatnonzero(prepared.n_windows == 0)
        if len(silent):
            first = prepared.utterance_id[silent[0]]
            raise UserError(
                f"{len(silent)} of {len(prepared)} utterances in {prepared.folder} have no audio (first: {first}), "
                f"which the {model} model requires"
            )
        check_features([prepared.segment(i) for i in range(len(prepared))], list(prepared.utterance_id))
    if VECTORS in inputs and embeddings is None:
        raise UserError(f"the {model} model requires --embeddings: a word2vec file, or random:50 as a control")
    if inputs & TEXT_INPUTS:
        if not any(text.strip() for text in prepared.text):
            raise UserError(f"{prepared.folder} has no transcripts, which the {model} model requires")
        if is_segments(embeddings) and COMPOSITE in prepared.name:
            raise UserError(
                f"{prepared.folder} is COMPOSITE: its words were not spoken in its audio; use a vectors file"
            )


def warn_of_features(
    prepared: Prepared, preset: str, settings: EmotionSettings, classifier: Classifier | None = None
) -> None:
    """Warn if a corpus was prepared with features that do not fit the preset, or its speakers with the settings.

    Of a classifier, only of what concerns it; None is all classifiers.
    """
    inputs = AUDIO_INPUTS if classifier is None else classifier.inputs & AUDIO_INPUTS
    if inputs:
        speakers, classes = prepared.speaker.tolist(), prepared.label_index
        warn_of_speakers(speakers, classes, prepared.labels, settings.training.normalisation)
    features = validate_settings(FeatureSettings, prepared.meta["features"])
    step = settings.model.stack * features.hop
    if preset == "default" and features.loudness == "recorded" and inputs & {FRAMES, STATISTICS}:  # others are levelled
        log.warning(
            "%s was prepared without levelling (features.loudness): what is learned depends on how loud its recordings "
            "are; prepare it again", prepared.folder,
        )  # fmt: skip
    if classifier is not None and classifier.longest(settings) is None:
        return
    if preset == "paper" and features != FeatureSettings():
        log.warning("%s does not have the paper's features: use 'prepare --preset paper'", prepared.folder)
    elif step > _LONGEST_STEP:
        log.warning(
            "model.stack = %d gives steps of %.1f s with the windows of %s, one every %.3g s: --set model.stack=%d",
            settings.model.stack, step, prepared.folder, features.hop, max(1, round(0.1 / features.hop)),
        )  # fmt: skip


def gather_run(
    prepared: Prepared,
    plan: Plan,
    settings: EmotionSettings,
    splits: Sequence[Split],
    *,
    jobs: int = 1,
) -> Callable[[Path], Run]:
    """Gather everything that a run folder holds before it is trained, without writing anything.

    Parameters
    ----------
    prepared : Prepared
    plan : Plan
    settings : EmotionSettings
    splits : sequence of Split
        From `check_plan` for this corpus and plan.
    jobs : int
        Number of processes for the MFCC of ``segments:RUN``.

    Returns
    -------
    callable
        Writes the run to a folder and returns it.

    Raises
    ------
    UserError
        The word vectors, or the RUN and alignment of ``segments:RUN``, are unusable.
    """
    vocabulary: Vocabulary | None = None
    pretrained: Pretrained | None = None
    found: dict[str, Any] = {}
    encoder: PortableEncoder | None = None
    segments: WordSegments | None = None
    embeddings: str | None = None
    vector_size = 0
    classifier = load_classifier(plan.model)
    inputs = classifier.inputs
    if VECTORS in inputs and is_segments(plan.embeddings):
        source = source_path(plan.embeddings)
        assert source is not None and plan.aligned is not None  # check_plan
        encoder = PortableEncoder.from_run(Speech2VecRun.load(source, checkpoint=plan.checkpoint, device="cpu"))
        segments = WordSegments.encode(encoder, plan.aligned, list(prepared.utterance_id), jobs)
        embeddings, vector_size = SEGMENTS, segments.vectors.shape[1]
        found = segments.coverage()
    elif VECTORS in inputs:
        assert plan.embeddings is not None  # check_plan
        vocabulary = Vocabulary.of_texts(list(prepared.text))
        pretrained = load_pretrained(plan.embeddings, vocabulary)
        embeddings, vector_size = pretrained.name, pretrained.vector_size
        found = coverage(list(prepared.text), vocabulary, pretrained)
    longest = classifier.longest(settings)
    if longest is not None:
        found["recordings_cut"] = _count_cut(prepared, longest)
    info = {
        **plan.to_json(),
        "labels": list(prepared.labels),
        "corpus": prepared.name,
        "utterances": _digest(prepared),
        "dialogues_left_out": _count_left_out(prepared, splits) if plan.protocol in BY_SPEAKER else {},
        "features": prepared.meta["features"],
        "sampling_rates": prepared.meta.get("sampling_rates", {}),
        "functionals": VERSION,
        "n_features": int(prepared.features.shape[1]),
        "embeddings": embeddings,
        "vector_size": vector_size,
        "coverage": found,
    }
    ids = prepared.utterance_id
    parts = {
        split.name: {
            "train": ids[split.train].tolist(),
            "development": ids[split.development].tolist(),
            "test": ids[split.test].tolist(),
        }
        for split in splits
    }
    return partial(
        Run.create,
        info=info,
        settings=settings,
        splits=parts,
        vocabulary=vocabulary,
        pretrained=pretrained,
        segments=segments,
        encoder=encoder,
        reference=_reference(prepared, inputs) if inputs & AUDIO_INPUTS else None,
    )


def _reference(prepared: Prepared, inputs: frozenset[str]) -> Reference:
    """What the recordings of a corpus are like."""
    functionals = None
    if FUNCTIONALS in inputs:
        functionals = voice_functionals(prepared.utterances(), prepared.folder / CACHE)
    segments = [np.asarray(prepared.segment(i)) for i in range(len(prepared))]
    return Reference.of(segments, list(prepared.speaker), float(prepared.meta["features"]["hop"]), functionals)


def _digest(prepared: Prepared) -> str:
    """A hash of the utterances, their speakers and labels."""
    columns = (prepared.utterance_id.tolist(), prepared.speaker.tolist(), prepared.label.tolist())
    return hashlib.sha256(json.dumps(columns).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _count_left_out(prepared: Prepared, splits: Sequence[Split]) -> dict[str, int]:
    """Number of utterances of each fold that are in no part, as their dialogue continues in another part."""
    counts = {
        split.name: len(prepared) - sum(map(len, (split.train, split.development, split.test))) for split in splits
    }
    counts = {name: n for name, n in counts.items() if n}
    if counts:
        log.warning(
            "utterances of dialogues that continue in another part are left out of training and development: %s",
            ", ".join(f"{n:,} ({name})" for name, n in counts.items()),
        )
    return counts


def _count_cut(prepared: Prepared, longest: int) -> int:
    """Count the recordings longer than the model's maximum and warn about them; their end is cut."""
    cut = np.flatnonzero(prepared.n_windows > longest)
    if len(cut):
        log.warning(
            "%d of %d recordings have more than %d windows and are cut there (first: %s, %.0f s): "
            "--set model.max_windows=... allows more",
            len(cut), len(prepared), longest, prepared.utterance_id[cut[0]], prepared.duration[cut[0]],
        )  # fmt: skip
    return len(cut)


def continue_run(prepared: Prepared, folder: Path, plan: Plan, settings: EmotionSettings) -> Run:
    """Open an interrupted run if plan, settings and corpus are those it was started with.

    Raises
    ------
    UserError
        Naming the difference.
    """
    run = Run.open(folder)
    labels, features = list(prepared.labels), prepared.meta["features"]
    asked = {**plan.to_json(), "corpus": prepared.name, "labels": labels, "features": features}
    if "utterances" in run.info:  # not in runs made before
        asked["utterances"] = _digest(prepared)
    for name, value in asked.items():
        if run.info.get(name) != value:
            raise UserError(f"{folder} was started with {name} {run.info.get(name)}, not {value}: --force starts over")
    if run.settings != settings:
        raise UserError(f"{folder} was started with other settings (its config.toml): --force starts over")
    known = set(prepared.utterance_id)
    if any(name not in known for parts in run.splits.values() for names in parts.values() for name in names):
        raise UserError(f"{folder} was started with other utterances than those of {prepared.folder}")
    remove_partial(folder)
    return run
