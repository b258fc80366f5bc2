"""The run folder: all that a trained classifier needs; nothing outside it is read.

``run.json`` (model, labels, features, protocol), ``config.toml``, ``environment.json``, ``splits.json``,
``vocabulary.json``, ``pretrained.safetensors`` (the vectors training starts from) or ``segments.safetensors`` (those of
the corpus' own words, beside ``encoder.safetensors`` that made them) and, for each fold and seed,
``members/FOLD/seed-N/`` with ``model.safetensors`` (weights and feature scaling), ``member.json``, ``metrics.jsonl``
and ``test_probabilities.npy``; ``predictions.csv`` once all members are there. None of them can hold code.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file, save_file
from torch import nn

from emotion.data.batches import Scaler
from emotion.data.dataset import SYNTHETIC
from emotion.models.classifiers import build
from emotion.models.word_vectors import SEGMENTS, Pretrained, Vocabulary, WordSegments
from emotion.settings import EmotionSettings
from emotion.training.trainer import Fitted
from speech2vec.runtime.config import load_settings, to_toml
from speech2vec.runtime.environment import environment
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import append_json_line, atomic_folder, atomic_path, read_json, write_json
from speech2vec.vectors.portable import PortableEncoder

FORMAT = 1


RUN_FILE, CONFIG_FILE, SPLITS_FILE = "run.json", "config.toml", "splits.json"


SEGMENTS_FILE, ENCODER_FILE = "segments.safetensors", "encoder.safetensors"


VOCABULARY_FILE, PRETRAINED_FILE, PREDICTIONS_FILE = "vocabulary.json", "pretrained.safetensors", "predictions.csv"


@dataclass(frozen=True)
class FoldModel:
    """One trained network of a run.

    Parameters
    ----------
    fold : str
    seed : int
    model : nn.Module
        In evaluation mode.
    scaler : Scaler or None
        None for models without audio.
    """

    fold: str
    seed: int
    model: nn.Module
    scaler: Scaler | None


@dataclass(frozen=True)
class Run:
    """A run folder.

    Parameters
    ----------
    folder : Path
    info : dict
        What ``run.json`` holds.
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
    ) -> Run:
        """Write a new run folder; ``run.json`` comes last and makes it whole."""
        folder.mkdir(parents=True, exist_ok=True)
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
        write_json(folder / RUN_FILE, {"format": FORMAT, **info})
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> Run:
        """Open a run folder.

        Raises
        ------
        UserError
            The folder is not a run, is damaged, or was written by another version.
        """
        folder = Path(folder)
        if not (folder / RUN_FILE).exists():
            raise UserError(f"{folder} is no run of speech2vec-emotion (no {RUN_FILE})")
        info = read_json(folder / RUN_FILE)
        if info.get("format") != FORMAT:
            raise UserError(
                f"{folder} is a run of format {info.get('format')}, this version reads {FORMAT}: train it again"
            )
        return cls(folder, info, load_settings(EmotionSettings, folder / CONFIG_FILE))

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(self.info["labels"])

    @cached_property
    def segments(self) -> WordSegments | None:
        """Vectors of the corpus' own words, where the run was trained on them."""
        path = self.folder / SEGMENTS_FILE
        return WordSegments.load(path) if path.exists() else None

    @property
    def uses_segments(self) -> bool:
        """Whether each word's vector is made from its own sound."""
        return self.info.get("embeddings") == SEGMENTS

    @cached_property
    def encoder(self) -> PortableEncoder:
        """What makes the vectors of a new recording's words, where `uses_segments`."""
        return PortableEncoder.load(self.folder / ENCODER_FILE)

    @property
    def corpus(self) -> str:
        """What the set it was trained on is called; the names of COMPOSITE and SYNTHETIC sets say what they are."""
        return str(self.info["corpus"])

    @property
    def data_warning(self) -> str:
        """What goes beside every prediction where the training set was not natural speech; "" where it was."""
        if self.info["composite"]:
            return "its words were not said in its audio; what it is worth on real speech is not known"
        if SYNTHETIC in self.corpus:
            return "no person said it; what it is worth on real speech is not known"
        return ""

    @property
    def model_name(self) -> str:
        return str(self.info["model"])

    @property
    def uses_audio(self) -> bool:
        return self.model_name != "embedding"

    @property
    def uses_text(self) -> bool:
        return self.model_name != "acoustic"

    @cached_property
    def splits(self) -> dict[str, dict[str, list[str]]]:
        """Utterance ids of each fold's parts: {fold: {"train": [...], "development": [...], "test": [...]}}."""
        return read_json(self.folder / SPLITS_FILE)

    @cached_property
    def vocabulary(self) -> Vocabulary | None:
        if not (self.folder / VOCABULARY_FILE).exists():
            return None
        return Vocabulary(read_json(self.folder / VOCABULARY_FILE))

    @cached_property
    def pretrained(self) -> Pretrained | None:
        """The word vectors that training started from; None for models without, and for segments.

        Raises
        ------
        UserError
            The file is damaged.
        """
        path = self.folder / PRETRAINED_FILE
        if not path.exists():
            return None
        try:
            return Pretrained(name=str(self.info["embeddings"]), **load_arrays(path))
        except (SafetensorError, TypeError) as error:
            raise UserError(f"{path} is damaged: {error}") from error

    def build_model(self, seed: int) -> nn.Module:
        """The network before training; `seed` draws its weights and the vectors of words that have none."""
        torch.manual_seed(seed)
        settings, vectors = self.settings.model, None
        if self.pretrained is not None:
            vectors = torch.from_numpy(self.pretrained.table(seed, settings.embedding_scale))
        return build(
            self.model_name,
            settings,
            n_classes=len(self.labels),
            n_features=self.info["n_features"],
            vector_size=self.info["vector_size"],
            vectors=vectors,
        )

    def member_folder(self, fold: str, seed: int) -> Path:
        return self.folder / "members" / fold / f"seed-{seed}"

    def members_wanted(self) -> list[tuple[str, int]]:
        """All folds and seeds of the run."""
        return [(fold, seed) for fold in self.splits for seed in self.info["seeds"]]

    def members_missing(self) -> list[tuple[str, int]]:
        """What is still to be trained."""
        return [(f, s) for f, s in self.members_wanted() if not (self.member_folder(f, s) / "member.json").exists()]

    def save_member(self, member: FoldModel, fitted: Fitted, test_probabilities: np.ndarray) -> None:
        """Write one member's folder, whole or not at all."""
        with atomic_folder(self.member_folder(member.fold, member.seed)) as folder:
            tensors = {name: value.contiguous().cpu() for name, value in member.model.state_dict().items()}
            if member.scaler is not None:
                tensors["scaler.mean"] = torch.from_numpy(member.scaler.mean)
                tensors["scaler.deviation"] = torch.from_numpy(member.scaler.deviation)
            save_file(tensors, folder / "model.safetensors")
            for row in fitted.history:
                append_json_line(folder / "metrics.jsonl", row)
            np.save(folder / "test_probabilities.npy", test_probabilities, allow_pickle=False)
            write_json(folder / "member.json", {"fold": member.fold, "seed": member.seed, "best_epoch": fitted.epoch})

    def load_member(self, fold: str, seed: int) -> FoldModel:
        """One trained network.

        Raises
        ------
        UserError
            It has not been trained, or its file is damaged or of another shape.
        """
        path = self.member_folder(fold, seed) / "model.safetensors"
        try:
            tensors = load_file(path)
            scaler = None
            if "scaler.mean" in tensors:
                scaler = Scaler(tensors.pop("scaler.mean").numpy(), tensors.pop("scaler.deviation").numpy())
            model = self.build_model(seed)
            model.load_state_dict(tensors)
        except FileNotFoundError as error:
            raise UserError(f"{path} is not there: train with --resume first") from error
        except (SafetensorError, RuntimeError) as error:
            raise UserError(f"{path} is damaged or of another model: {str(error).splitlines()[0]}") from error
        return FoldModel(fold, seed, model.eval(), scaler)

    def load_members(self) -> Iterator[FoldModel]:
        """All members, in order; their probabilities' mean is the run's prediction."""
        for fold, seed in self.members_wanted():
            yield self.load_member(fold, seed)

    def test_probabilities(self, fold: str, seed: int) -> np.ndarray:
        """Probabilities of the fold's test utterances [shape=(n_test, n_classes)], in the order of `splits`."""
        return np.load(self.member_folder(fold, seed) / "test_probabilities.npy", allow_pickle=False)
