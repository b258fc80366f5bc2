"""From a prepared corpus to a run: protocol, inputs, and the members (folds and seeds) one after another."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from emotion.dataset import Prepared
from emotion.embeddings import Pretrained, Vocabulary, coverage, is_segments, load_pretrained, source_path
from emotion.features import FeatureSettings
from emotion.inputs import Examples, Scaler, check_features, normalise_by_speaker
from emotion.run import PREDICTIONS_FILE, Member, Run
from emotion.segments import SegmentEncoder, WordSegments, segments_coverage
from emotion.settings import EmotionSettings
from emotion.splits import Protocol, Split, check_split, make_splits
from emotion.trainer import fit, predict_proba
from speech2vec.config import validate_settings
from speech2vec.console import Tracker, log
from speech2vec.errors import UserError
from speech2vec.processes import in_processes
from speech2vec.runs import atomic_path

_LONGEST_STEP = 0.25  # seconds, of the acoustic Bi-LSTM; beyond, syllables run into one another


@dataclass(frozen=True)
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
    """

    model: str
    protocol: Protocol = Protocol.speaker_folds
    embeddings: str | None = None
    seeds: Sequence[int] = (0, 1, 2, 3, 4)
    n_folds: int = 6
    aligned: Path | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "protocol": self.protocol.value,
            "source": self.embeddings,
            "seeds": list(self.seeds),
            "n_folds": self.n_folds,
        }


def start_run(prepared: Prepared, folder: Path, plan: Plan, settings: EmotionSettings) -> Run:
    """Check everything and write the run folder; nothing is trained yet.

    Raises
    ------
    UserError
        The corpus lacks what the model or the protocol needs.
    """
    check_inputs(prepared, plan.model, plan.embeddings)
    splits = split_prepared(prepared, plan.protocol, plan.n_folds)
    vocabulary: Vocabulary | None = None
    pretrained: Pretrained | None = None
    found: dict[str, Any] = {}
    encoder: SegmentEncoder | None = None
    segments: WordSegments | None = None
    if plan.model != "acoustic" and is_segments(plan.embeddings):
        if plan.aligned is None:
            raise UserError("--embeddings segments:RUN needs --aligned ALIGNED, from speech2vec-align")
        source = source_path(plan.embeddings)
        assert source is not None  # is_segments
        encoder = SegmentEncoder.of_run(source)
        segments = encoder.encode(plan.aligned, list(prepared.utterance_id))
        found = segments_coverage(segments)
    elif plan.model != "acoustic":
        assert plan.embeddings is not None  # check_inputs
        vocabulary = Vocabulary.of_texts(list(prepared.text))
        pretrained = load_pretrained(plan.embeddings, vocabulary)
        found = coverage(list(prepared.text), vocabulary, pretrained)
    if plan.model != "embedding":
        found["recordings_cut"] = _say_what_is_cut(prepared, settings)
    info = {
        **plan.as_dict(),
        "labels": list(prepared.labels),
        "corpus": prepared.name,
        "composite": prepared.composite,
        "features": prepared.meta["features"],
        "sampling_rates": prepared.meta.get("sampling_rates", {}),
        "n_features": int(prepared.features.shape[1]),
        "embeddings": pretrained.name if pretrained else "segments" if segments else None,
        "vector_size": pretrained.vector_size if pretrained else segments.vectors.shape[1] if segments else 0,
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
    return Run.create(folder, info, settings, parts, vocabulary, pretrained, segments, encoder)


def warn_of_features(prepared: Prepared, preset: str, settings: EmotionSettings) -> None:
    """Say where a corpus was prepared with features that a preset is not meant for; it is trained on all the same."""
    features = validate_settings(FeatureSettings, prepared.meta["features"])
    step = settings.model.stack * features.hop
    if preset == "paper" and features != FeatureSettings():
        log.warning("%s has other features than the paper's: 'prepare --preset paper' makes those", prepared.folder)
    elif step > _LONGEST_STEP:
        log.warning(
            "model.stack = %d makes steps of %.1f s of the windows in %s, one every %.3g s: --set model.stack=%d",
            settings.model.stack, step, prepared.folder, features.hop, max(1, round(0.1 / features.hop)),
        )  # fmt: skip


def _say_what_is_cut(prepared: Prepared, settings: EmotionSettings) -> int:
    """How many recordings are longer than the model takes; they are not dropped, their end is."""
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
    asked = {**plan.as_dict(), "corpus": prepared.name, "features": prepared.meta["features"]}
    for name, value in asked.items():
        if run.info.get(name) != value:
            raise UserError(f"{folder} was started with {name} {run.info.get(name)}, not {value}: --force starts anew")
    if run.settings != settings:
        raise UserError(f"{folder} was started with other settings (its config.toml): --force starts anew")
    known = set(prepared.utterance_id)
    if any(name not in known for parts in run.splits.values() for names in parts.values() for name in names):
        raise UserError(f"{folder} was trained on other utterances than {prepared.folder} holds")
    return run


def check_inputs(prepared: Prepared, model: str, embeddings: str | None) -> None:
    """Refuse a corpus that has not what the model needs."""
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


def split_prepared(prepared: Prepared, protocol: Protocol | str, n_folds: int = 6) -> list[Split]:
    """The protocol's splits, checked: no speaker and no dialogue in two parts, every class in training."""
    sexes = [utterance.extras.get("sex") for utterance in prepared.utterances()]
    splits = make_splits(protocol, list(prepared.speaker), list(prepared.session), sexes, n_folds)
    for split in splits:
        check_split(split, prepared.dialogue, "dialogue")
        missing = [label for label in prepared.labels if not (prepared.label[split.train] == label).any()]
        if missing:
            raise UserError(f"split {split.name}: no training utterance of class {', '.join(missing)}")
    return splits


def make_examples(run: Run, prepared: Prepared) -> Examples:
    """All utterances of a corpus as inputs of a run's model, before the training part's scaling."""
    n = len(prepared)
    nothing = np.zeros((0, run.info["n_features"]), dtype=np.float32)
    features = [nothing] * n
    if run.uses_audio:
        features = [np.asarray(prepared.segment(i)) for i in range(n)]
        if run.settings.training.normalisation == "speaker":
            features = normalise_by_speaker(features, list(prepared.speaker))
    words = [np.zeros(0, dtype=np.int64)] * n
    if run.vocabulary is not None:
        words = run.vocabulary.rows(list(prepared.text))
    elif run.segments is not None:
        words = run.segments.of_each()
        if len(words) != n:
            raise UserError(f"{run.folder} has word vectors of {len(words)} utterances, {prepared.folder} holds {n}")
    return Examples(features, words, prepared.label_index)


def train_member(
    run: Run,
    prepared: Prepared,
    examples: Examples,
    fold: str,
    seed: int,
    device: torch.device | str = "cpu",
    on_epoch: Callable[[dict[str, Any]], None] | None = None,
) -> None:
    """Train and test one fold with one seed, and write its folder."""
    place = {name: i for i, name in enumerate(prepared.utterance_id)}
    train, development, test = (
        examples.part(np.array([place[name] for name in run.splits[fold][part]], dtype=np.int64))
        for part in ("train", "development", "test")
    )
    scaler = None
    if run.uses_audio and run.settings.training.normalisation != "none":
        scaler = Scaler.fit(train.features)
        train, development, test = (scaled(part, scaler) for part in (train, development, test))
    model = run.build_model(seed)
    fitted = fit(model, train, development if len(development) else None, run.settings, seed, device, on_epoch)
    probabilities = predict_proba(model, test, run.settings, device)
    run.save_member(Member(fold, seed, model, scaler), fitted, probabilities)


def train_members(run: Run, prepared: Prepared, jobs: int = 1, device: str = "auto", quiet: bool = False) -> None:
    """Train what is missing of a run, `jobs` members at a time; what is done stays when another one fails."""
    missing = run.members_missing()
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    total = len(missing) * run.settings.training.epochs
    with Tracker(f"training {run.model_name}", total, "epochs", quiet) as tracker:
        if jobs == 1 or len(missing) < 2:
            examples = make_examples(run, prepared)
            for fold, seed in missing:
                train_member(run, prepared, examples, fold, seed, device, lambda row: tracker.advance(note=_note(row)))
            return
        # Each process keeps to one thread: folds side by side are faster than one fold on all cores.
        work = partial(_train_in_process, run.folder, prepared.folder, device)
        for _ in in_processes(work, missing, min(jobs, len(missing))):
            tracker.advance(run.settings.training.epochs)


def _note(row: dict[str, Any]) -> str:
    development = f", development UA {row['dev_UA']:.3f}" if "dev_UA" in row else ""
    return f"loss {row['train_loss']:.3f}{development}"


def _train_in_process(run_folder: Path, prepared_folder: Path, device: str, member: tuple[str, int]) -> None:
    train_member(*_opened(run_folder, prepared_folder), *member, device)


@lru_cache(maxsize=1)
def _opened(run_folder: Path, prepared_folder: Path) -> tuple[Run, Prepared, Examples]:
    """What a process needs for all of its members."""
    torch.set_num_threads(1)
    run, prepared = Run.open(run_folder), Prepared.open(prepared_folder)
    return run, prepared, make_examples(run, prepared)


def scaled(examples: Examples, scaler: Scaler) -> Examples:
    """The same utterances with scaled features."""
    return Examples([scaler(segment) for segment in examples.features], examples.words, examples.labels)


def write_predictions(run: Run, prepared: Prepared) -> None:
    """Write ``predictions.csv``: a line for each test utterance and seed."""
    place = {name: i for i, name in enumerate(prepared.utterance_id)}
    with (
        atomic_path(run.folder / PREDICTIONS_FILE) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as out,
    ):
        writer = csv.writer(out)
        probabilities = [f"p_{label}" for label in run.labels]
        writer.writerow(["seed", "fold", "utterance_id", "speaker", "style", "label", "predicted", *probabilities])
        for fold, seed in run.members_wanted():
            names = run.splits[fold]["test"]
            for name, row in zip(names, run.test_probabilities(fold, seed), strict=True):
                i = place[name]
                known = [name, prepared.speaker[i], prepared.style[i] or "", prepared.label[i]]
                writer.writerow([seed, fold, *known, run.labels[row.argmax()], *(f"{p:.6f}" for p in row)])
