"""What is to be trained: a plan, the corpus checked against it, and the run folder that is started or continued."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emotion.data.batches import check_features
from emotion.data.dataset import Prepared
from emotion.data.splits import Split, SplitProtocol, check_split, make_splits
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
from speech2vec.runtime.progress import log
from speech2vec.training.run import LAST
from speech2vec.training.run import Run as Speech2VecRun
from speech2vec.vectors.portable import PortableEncoder

_LONGEST_STEP = 0.25  # seconds, of the acoustic Bi-LSTM; in longer ones syllables run into one another


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is trained, beside the settings.

    Parameters
    ----------
    model : {"acoustic", "embedding", "dual"}
    protocol : Protocol
    embeddings : str or None
        A word2vec file, ``random:D``, or ``segments:RUN``.
    seeds : sequence of int
    n_folds : int
        Of the protocol ``speaker-folds``.
    aligned : Path or None
        Words in time, for ``segments:RUN``.
    checkpoint : {"last", "best"}
        Which of that RUN's encoders.
    """

    model: str
    protocol: SplitProtocol = SplitProtocol.speaker_folds
    embeddings: str | None = None
    seeds: Sequence[int] = (0, 1, 2, 3, 4)
    n_folds: int = 6
    aligned: Path | None = None
    checkpoint: str = LAST

    def to_json(self) -> dict[str, Any]:
        """What ``run.json`` records, and what a run is compared with before it is continued."""
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
    """Check that a corpus has what a plan needs, before anything is written.

    Returns
    -------
    list of Split
        The protocol's: no speaker and no dialogue is in two parts, every class is in training.

    Raises
    ------
    UserError
        The corpus lacks what the model or the protocol needs.
    """
    if is_segments(plan.embeddings) != (plan.aligned is not None):
        raise UserError("--embeddings segments:RUN and --aligned ALIGNED (from speech2vec-align) go together")
    _check_inputs(prepared, plan.model, plan.embeddings)
    sexes = [utterance.extras.get("sex") for utterance in prepared.utterances()]
    splits = make_splits(
        plan.protocol, list(prepared.speaker), list(prepared.session), sexes=sexes, n_folds=plan.n_folds
    )
    for split in splits:
        check_split(split, prepared.dialogue, "dialogue")
        missing = [label for label in prepared.labels if not (prepared.label[split.train] == label).any()]
        if missing:
            raise UserError(f"split {split.name}: no training utterance of class {', '.join(missing)}")
    return splits


def _check_inputs(prepared: Prepared, model: str, embeddings: str | None) -> None:
    """Refuse a corpus that lacks what the model needs."""
    if len(prepared) == 0:
        raise UserError(f"{prepared.folder} holds no utterances")
    silent = np.flatnonzero(prepared.n_windows == 0)
    if model != "embedding" and len(silent):
        first = prepared.utterance_id[silent[0]]
        raise UserError(
            f"{len(silent)} of {len(prepared)} utterances in {prepared.folder} have no audio (first: {first}); "
            f"the {model} model needs it"
        )
    if model != "embedding":
        check_features([prepared.segment(i) for i in range(len(prepared))], list(prepared.utterance_id))
    if model != "acoustic":
        if embeddings is None:
            raise UserError(f"the {model} model needs --embeddings: a word2vec file, or random:50 as the control")
        if not any(text.strip() for text in prepared.text):
            raise UserError(f"{prepared.folder} has no transcripts; the {model} model needs them")
        if is_segments(embeddings) and prepared.composite:
            raise UserError(
                f"{prepared.folder} is COMPOSITE: its words were not said in its audio, so that no word has a vector "
                "of its own sound; take a vectors file, or a corpus with its own transcripts"
            )


def warn_of_features(prepared: Prepared, preset: str, settings: EmotionSettings) -> None:
    """Warn if a corpus was prepared with features that a preset is not meant for; training goes on all the same."""
    features = validate_settings(FeatureSettings, prepared.meta["features"])
    step = settings.model.stack * features.hop
    if preset == "paper" and features != FeatureSettings():
        log.warning("%s has other features than the paper's: 'prepare --preset paper' makes those", prepared.folder)
    elif step > _LONGEST_STEP:
        log.warning(
            "model.stack = %d makes steps of %.1f s of the windows in %s, one every %.3g s: --set model.stack=%d",
            settings.model.stack, step, prepared.folder, features.hop, max(1, round(0.1 / features.hop)),
        )  # fmt: skip


def start_run(
    prepared: Prepared,
    folder: Path,
    plan: Plan,
    settings: EmotionSettings,
    splits: Sequence[Split],
    *,
    jobs: int = 1,
) -> Run:
    """Write the run folder; nothing is trained yet.

    Parameters
    ----------
    prepared : Prepared
    folder : Path
    plan : Plan
    settings : EmotionSettings
    splits : sequence of Split
        What `check_plan` gave for this corpus and plan.
    jobs : int
        Processes for the MFCC of ``segments:RUN``.

    Raises
    ------
    UserError
        The word vectors, or the RUN and ALIGNED of ``segments:RUN``, cannot be used.
    """
    vocabulary: Vocabulary | None = None
    pretrained: Pretrained | None = None
    found: dict[str, Any] = {}
    encoder: PortableEncoder | None = None
    segments: WordSegments | None = None
    embeddings: str | None = None
    vector_size = 0
    if plan.model != "acoustic" and is_segments(plan.embeddings):
        source = source_path(plan.embeddings)
        assert source is not None and plan.aligned is not None  # check_plan
        encoder = PortableEncoder.from_run(Speech2VecRun.load(source, checkpoint=plan.checkpoint))
        segments = WordSegments.encode(encoder, plan.aligned, list(prepared.utterance_id), jobs)
        embeddings, vector_size = SEGMENTS, segments.vectors.shape[1]
        found = segments.coverage()
    elif plan.model != "acoustic":
        assert plan.embeddings is not None  # check_plan
        vocabulary = Vocabulary.of_texts(list(prepared.text))
        pretrained = load_pretrained(plan.embeddings, vocabulary)
        embeddings, vector_size = pretrained.name, pretrained.vector_size
        found = coverage(list(prepared.text), vocabulary, pretrained)
    if plan.model != "embedding":
        found["recordings_cut"] = _say_what_is_cut(prepared, settings)
    info = {
        **plan.to_json(),
        "labels": list(prepared.labels),
        "corpus": prepared.name,
        "composite": prepared.composite,
        "features": prepared.meta["features"],
        "sampling_rates": prepared.meta.get("sampling_rates", {}),
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
    return Run.create(
        folder,
        info,
        settings,
        parts,
        vocabulary=vocabulary,
        pretrained=pretrained,
        segments=segments,
        encoder=encoder,
    )


def _say_what_is_cut(prepared: Prepared, settings: EmotionSettings) -> int:
    """Count the recordings that are longer than the model takes, and warn of them: they are kept, without their end."""
    longest = settings.model.max_windows * settings.model.stack
    cut = np.flatnonzero(prepared.n_windows > longest)
    if len(cut):
        log.warning(
            "%d of %d recordings have more than %d windows and are cut there (first: %s, %.0f s): "
            "--set model.max_windows=... takes more",
            len(cut), len(prepared), longest, prepared.utterance_id[cut[0]], prepared.duration[cut[0]],
        )  # fmt: skip
    return len(cut)


def continue_run(prepared: Prepared, folder: Path, plan: Plan, settings: EmotionSettings) -> Run:
    """Open an interrupted run, if what is asked for now is what it was started with.

    Raises
    ------
    UserError
        Naming what differs.
    """
    run = Run.open(folder)
    asked = {**plan.to_json(), "corpus": prepared.name, "features": prepared.meta["features"]}
    for name, value in asked.items():
        if run.info.get(name) != value:
            raise UserError(f"{folder} was started with {name} {run.info.get(name)}, not {value}: --force starts anew")
    if run.settings != settings:
        raise UserError(f"{folder} was started with other settings (its config.toml): --force starts anew")
    known = set(prepared.utterance_id)
    if any(name not in known for parts in run.splits.values() for names in parts.values() for name in names):
        raise UserError(f"{folder} was trained on other utterances than {prepared.folder} holds")
    return run
