"""The run folder: everything a trained classifier needs; nothing outside it is read.

``run.json`` (model, labels, features, protocol), ``config.toml``, ``environment.json``, ``splits.json``,
``vocabulary.json``, ``pretrained.safetensors`` (the initial word vectors) or ``segments.safetensors`` (vectors of the
corpus' word segments, with the ``encoder.safetensors`` that produced them) and, for each fold and seed,
``members/FOLD/seed-N/`` with the files of the classifier (of networks ``model.safetensors`` and ``metrics.jsonl``),
``scaler.safetensors`` (of the frames), ``member.json`` and ``test_probabilities.npy``; ``predictions.csv`` and
``control.csv`` (of a linear SVM on the same folds) once all are trained. No file can contain code.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, Field
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays

from emotion.classifiers.base import Classifier, Context
from emotion.classifiers.registry import load_classifier
from emotion.data.dataset import data_warning
from emotion.data.examples import AUDIO_INPUTS, TEXT_INPUTS
from emotion.data.reference import Reference
from emotion.features.functionals import OLDEST, VERSION
from emotion.metrics import are_probabilities
from emotion.models.word_vectors import SEGMENTS, Pretrained, Vocabulary, WordSegments
from emotion.settings import EmotionSettings
from emotion.training.member import DONE_FILE, TEST_FILE, Member
from speech2vec.runtime.config import load_settings, to_toml
from speech2vec.runtime.environment import environment
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import (
    atomic_path,
    inside,
    read_json_as,
    remove_partial,
    require_file,
    shortened,
    write_json,
)
from speech2vec.runtime.guarded import parsing
from speech2vec.runtime.output import FolderContents
from speech2vec.vectors.portable import PortableEncoder

FORMAT = 1
RUN_FILE, CONFIG_FILE, SPLITS_FILE = "run.json", "config.toml", "splits.json"
VOCABULARY_FILE, PRETRAINED_FILE = "vocabulary.json", "pretrained.safetensors"
SEGMENTS_FILE, ENCODER_FILE = "segments.safetensors", "encoder.safetensors"
REFERENCE_FILE = "reference.safetensors"
PREDICTIONS_FILE, CONTROL_FILE = "predictions.csv", "control.csv"
CONTROL_MODEL = "svm"  # the classifier of `CONTROL_FILE`
_MODELS_FOLDER = "members"  # per fold and seed; the name is part of the format

# With the folder that `speech2vec-emotion evaluate` writes by default.
RUN_CONTENTS = FolderContents(
    marks=(RUN_FILE, CONFIG_FILE),
    others=(
        *("environment.json", SPLITS_FILE, VOCABULARY_FILE, PRETRAINED_FILE, SEGMENTS_FILE, ENCODER_FILE),
        *(f"{_MODELS_FOLDER}/*/seed-*/**/{name}" for name in ("*.safetensors", "*.json", "*.jsonl")),
        *("report.html", REFERENCE_FILE, PREDICTIONS_FILE, CONTROL_FILE, f"{_MODELS_FOLDER}/*/seed-*/{TEST_FILE}"),
        *(f"evaluation*/{name}" for name in ("report.txt", "scores.json", "confusion.png")),
    ),
)


class _Parts(BaseModel):
    """The utterance ids of one fold in ``splits.json``."""

    train: list[str] = []
    development: list[str] = []
    test: list[str] = []


_MOST_NUMBERS = 100_000  # of a frame or a word: a network for more would fill the memory


class _RunInfo(BaseModel):
    """What is read from ``run.json``; runs made before may lack what has a default."""

    model: str
    labels: list[str]
    features: dict[str, Any]
    corpus: str = ""
    seeds: list[int] = []
    protocol: str = ""
    sampling_rates: dict[str, int] = {}
    n_features: int = Field(0, ge=0, le=_MOST_NUMBERS)
    functionals: int = Field(OLDEST, ge=OLDEST, le=VERSION)  # their version
    embeddings: str | None = None
    vector_size: int = Field(0, ge=0, le=_MOST_NUMBERS)


@dataclass(frozen=True)
class Run:
    """A run folder.

    Parameters
    ----------
    folder : Path
    info : dict
        The contents of ``run.json``.
    settings : EmotionSettings
    """

    folder: Path
    info: dict[str, Any]
    settings: EmotionSettings

    @classmethod
    def create(
        cls,
        folder: Path,
        info: dict[str, Any],
        settings: EmotionSettings,
        splits: dict[str, dict[str, list[str]]],
        *,
        vocabulary: Vocabulary | None = None,
        pretrained: Pretrained | None = None,
        segments: WordSegments | None = None,
        encoder: PortableEncoder | None = None,
        reference: Reference | None = None,
    ) -> Run:
        """Write a new run folder; it is complete once ``run.json``, the last file, exists."""
        folder.mkdir(parents=True, exist_ok=True)
        remove_partial(folder)  # of one that was killed before it was a run
        with atomic_path(folder / CONFIG_FILE) as temporary:
            temporary.write_text(to_toml(settings), encoding="utf-8")
        write_json(folder / "environment.json", environment())
        write_json(folder / SPLITS_FILE, splits)
        if vocabulary is not None:
            write_json(folder / VOCABULARY_FILE, vocabulary.words)
        if pretrained is not None:
            with atomic_path(folder / PRETRAINED_FILE) as temporary:
                arrays = {name: getattr(pretrained, name) for name in ("vectors", "known", "mean", "deviation")}
                save_arrays(arrays, temporary, metadata={"name": pretrained.name})
        if segments is not None:
            segments.save(folder / SEGMENTS_FILE)
        if encoder is not None:
            encoder.save(folder / ENCODER_FILE)
        if reference is not None:
            reference.save(folder / REFERENCE_FILE)
        write_json(folder / RUN_FILE, {"format": FORMAT, **info})
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> Run:
        """Open a run folder.

        Raises
        ------
        UserError
            The folder is not a run, is damaged, or has another format.
        """
        folder = Path(folder)
        if not (folder / RUN_FILE).exists():
            raise UserError(f"{folder} is not a run of speech2vec-emotion (no {RUN_FILE})")
        info = read_json_as(folder / RUN_FILE, dict[str, Any], "the description of a run")
        if info.get("format") != FORMAT:
            found = shortened(info.get("format"))
            raise UserError(f"{folder} has format {found}, this version reads {FORMAT}: train it again")
        read_json_as(folder / RUN_FILE, _RunInfo, "the description of a run")
        info = {**_RunInfo.model_validate(info).model_dump(), **info}
        return cls(folder, info, load_settings(EmotionSettings, folder / CONFIG_FILE))

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(self.info["labels"])

    @cached_property
    def segments(self) -> WordSegments | None:
        """Vectors of the corpus' word segments, if the run was trained on them."""
        return WordSegments.load(self.folder / SEGMENTS_FILE) if self.uses_segments else None

    @property
    def uses_segments(self) -> bool:
        """Whether each word's vector is encoded from its own audio segment."""
        return self.info.get("embeddings") == SEGMENTS

    @cached_property
    def encoder(self) -> PortableEncoder:
        """The encoder of a new recording's word segments, if `uses_segments`."""
        return PortableEncoder.load(self.folder / ENCODER_FILE)

    @property
    def corpus(self) -> str:
        """Name of the training corpus; it says COMPOSITE or SYNTHETIC if that is not natural speech."""
        return str(self.info["corpus"])

    @property
    def data_warning(self) -> str:
        """A caution to show with every prediction if the training corpus is not natural speech, else ""."""
        return data_warning(self.corpus)

    @property
    def model_name(self) -> str:
        return str(self.info["model"])

    @cached_property
    def classifier(self) -> Classifier:
        return load_classifier(self.model_name)

    @property
    def inputs(self) -> frozenset[str]:
        """What the classifier asks for, of `emotion.data.examples.INPUTS`."""
        return self.classifier.inputs

    @property
    def uses_audio(self) -> bool:
        return bool(self.inputs & AUDIO_INPUTS)

    @property
    def uses_text(self) -> bool:
        return bool(self.inputs & TEXT_INPUTS)

    @cached_property
    def splits(self) -> dict[str, dict[str, list[str]]]:
        """Utterance ids of each fold's parts: {fold: {"train": [...], "development": [...], "test": [...]}}."""
        splits: dict[str, dict[str, list[str]]] = read_json_as(
            self.folder / SPLITS_FILE, dict[str, _Parts], "the splits of a run"
        )
        splits = {fold: {**_Parts().model_dump(), **parts} for fold, parts in splits.items()}  # each part is there
        for fold in splits:
            self.model_folder(fold, 0)  # raises if a fold's name is not one below the run's folder
        return splits

    @cached_property
    def vocabulary(self) -> Vocabulary | None:
        if not (self.folder / VOCABULARY_FILE).exists():
            return None
        return Vocabulary(read_json_as(self.folder / VOCABULARY_FILE, list[str], "the vocabulary of a run"))

    @cached_property
    def reference(self) -> Reference | None:
        """What the training recordings are like; None if the run uses no audio, or was made before."""
        path = self.folder / REFERENCE_FILE
        return Reference.load(path) if path.exists() else None

    @cached_property
    def pretrained(self) -> Pretrained | None:
        """The initial word vectors; None for acoustic models and for segments.

        Raises
        ------
        UserError
            The file is damaged.
        """
        path = self.folder / PRETRAINED_FILE
        if not path.exists():
            return None
        with parsing(path, "a file of word vectors"):
            arrays = load_arrays(require_file(path))
            n_words, size = arrays["vectors"].shape
            shapes = {"vectors": (n_words, size), "known": (n_words,), "mean": (size,), "deviation": (size,)}
            if {name: array.shape for name, array in arrays.items()} != shapes:
                raise ValueError(f"its arrays are not {', '.join(shapes)}")
            return Pretrained(name=str(self.info["embeddings"]), **arrays)

    def context(self, seed: int, device: torch.device | str = "cpu", **more: Any) -> Context:
        """What the classifier needs to know; `more` are fields of it."""
        return Context(
            labels=self.labels,
            settings=self.settings,
            seed=seed,
            n_features=self.info["n_features"],
            pretrained=self.pretrained,
            vector_size=self.info["vector_size"],
            device=device,
            **more,
        )

    def model_folder(self, fold: str, seed: int) -> Path:
        return inside(self.folder / _MODELS_FOLDER, fold) / f"seed-{seed}"

    def fold_seeds(self) -> list[tuple[str, int]]:
        """All pairs of fold and seed; each is one network."""
        return [(fold, seed) for fold in self.splits for seed in self.info["seeds"]]

    def untrained(self) -> list[tuple[str, int]]:
        """The pairs of fold and seed that have not been trained."""
        return [(f, s) for f, s in self.fold_seeds() if not (self.model_folder(f, s) / DONE_FILE).exists()]

    def load_member(self, fold: str, seed: int, device: torch.device | str = "cpu") -> Member:
        """The trained classifier of one fold and seed; see `Member.load`."""
        return Member.load(self.model_folder(fold, seed), self.classifier, fold, self.context(seed, device))

    def load_members(self, device: torch.device | str = "cpu") -> list[Member]:
        """Those of all folds and seeds, in order; the mean of their probabilities is the run's prediction.

        Raises
        ------
        UserError
            There are none, or one is missing or damaged.
        """
        members = [self.load_member(fold, seed, device) for fold, seed in self.fold_seeds()]
        if not members:
            raise UserError(f"{self.folder} has nothing trained: complete the training with --resume")
        return members

    def test_probabilities(self, fold: str, seed: int) -> np.ndarray:
        """Probabilities of the fold's test utterances [shape=(n_test, n_classes)], in the order of `splits`."""
        path = self.model_folder(fold, seed) / TEST_FILE
        shape = (len(self.splits[fold]["test"]), len(self.labels))
        with parsing(path, "an array of probabilities", "remove its folder, and train with --resume"):
            probabilities = np.load(require_file(path), mmap_mode="r", allow_pickle=False)
        whole = isinstance(probabilities, np.ndarray) and probabilities.dtype.kind == "f"
        if not whole or probabilities.shape != shape or not are_probabilities(probabilities):
            raise UserError(
                f"{path} is not an array of {shape} probabilities: remove its folder, and train with --resume"
            )
        return np.array(probabilities)
