"""The trained classifier of one fold and seed, and its folder in a run."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emotion.classifiers.base import Classifier, Context, Fitted
from emotion.classifiers.inner import apply_temperature
from emotion.classifiers.networks import WEIGHTS_FILE
from emotion.data.examples import Examples
from emotion.data.normalise import Scaler
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import atomic_folder, read_json_as, require_file, write_json
from speech2vec.runtime.guarded import parsing

DONE_FILE, SCALER_FILE, TEST_FILE = "member.json", "scaler.safetensors", "test_probabilities.npy"  # part of the format


@dataclass(frozen=True)
class Member:
    """The trained classifier of one fold and seed.

    Parameters
    ----------
    fold : str
    seed : int
    fitted : Fitted
    scaler : Scaler or None
        Scaling of the frames; None for classifiers without frames, or without normalisation.
    temperature : float
        See `emotion.classifiers.inner.fit_temperature`; 1 if the probabilities are those of the classifier itself.
    """

    fold: str
    seed: int
    fitted: Fitted
    scaler: Scaler | None = None
    temperature: float = 1.0

    def predict_proba(self, examples: Examples) -> np.ndarray:
        """Class probabilities of utterances whose frames are not scaled [shape=(n_utterances, n_classes)]."""
        return apply_temperature(self.fitted.predict_proba(examples.scaled(self.scaler)), self.temperature)

    def save(self, folder: Path, test_probabilities: np.ndarray, **facts: Any) -> None:
        """Write its folder, atomically; `facts` are noted beside the classifier's own."""
        with atomic_folder(folder) as temporary:
            self.fitted.save(temporary)
            if self.scaler is not None:
                self.scaler.save(temporary / SCALER_FILE)
            array = io.BytesIO()  # `numpy.save` into a file hides why it fails
            np.save(array, test_probabilities, allow_pickle=False)
            (temporary / TEST_FILE).write_bytes(array.getvalue())
            done = {"fold": self.fold, "seed": self.seed, "temperature": self.temperature}
            write_json(temporary / DONE_FILE, {**done, **self.fitted.facts, **facts})

    @classmethod
    def load(cls, folder: Path, classifier: Classifier, fold: str, context: Context) -> Member:
        """Read what `save` wrote.

        Raises
        ------
        UserError
            It has not been trained, or a file is damaged or of another model.
        """
        facts = member_facts(folder)
        for path in sorted(folder.rglob("*")):
            if not path.is_dir():
                require_file(path)
        remedy = "remove the folder, and train with --resume"
        with parsing(folder, "the folder of a training, or is damaged or of another model", remedy):
            fitted = classifier.load(folder, context)
            # Networks of runs made before have the scaling in the file of their weights.
            paths = (folder / name for name in (SCALER_FILE, WEIGHTS_FILE))
            found = next((path for path in paths if path.exists()), None)
            scaler = None if found is None else Scaler.load(found)
            return cls(fold, context.seed, fitted, scaler, float(facts.get("temperature", 1.0)))


def member_facts(folder: Path) -> dict[str, Any]:
    """What is noted of a training; runs made before have less of it.

    Raises
    ------
    UserError
        It has not been trained.
    """
    if not (folder / DONE_FILE).exists():
        raise UserError(f"{folder / DONE_FILE} is missing: complete the training with --resume")
    facts: dict[str, Any] = read_json_as(folder / DONE_FILE, dict[str, Any], "the notes of a training")
    return facts
