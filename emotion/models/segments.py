"""Each word's vector from its own sound: a Speech2Vec encoder over the aligned words of the emotion corpus.

The paper argues that word embeddings learned from speech carry what a speaker and a channel add; a table with one
vector for each word cannot. Here the classifier sees the vector of THIS instance.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file
from safetensors.torch import save_file as save_tensors

from speech2vec.features.extraction import extract
from speech2vec.features.mfcc import MfccSettings
from speech2vec.features.store import Store
from speech2vec.model.encoding import encode_instances
from speech2vec.model.settings import ModelSettings
from speech2vec.model.speech2vec import Speech2Vec
from speech2vec.runtime.config import validate_settings
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import atomic_path
from speech2vec.training.run import LAST, Run


@dataclass(frozen=True)
class WordSegments:
    """The vectors of all aligned words of some utterances.

    Parameters
    ----------
    vectors : ndarray [shape=(n_words, vector_size)], float32
        Utterance after utterance, in time order.
    n_words : ndarray [shape=(n_utterances,)], int64
    """

    vectors: np.ndarray
    n_words: np.ndarray

    def of_each(self) -> list[np.ndarray]:
        """Each utterance's vectors [shape=(n_words, vector_size)]; no rows where it has no aligned word."""
        return np.split(self.vectors, np.cumsum(self.n_words)[:-1])

    def save(self, path: Path) -> None:
        with atomic_path(path) as temporary:
            save_file({"vectors": self.vectors, "n_words": self.n_words}, temporary)

    @classmethod
    def load(cls, path: Path) -> WordSegments:
        return cls(**load_file(path))


@dataclass(frozen=True)
class SegmentEncoder:
    """A Speech2Vec encoder with all that it needs to encode words that it has never seen.

    Parameters
    ----------
    model : Speech2Vec
    mfcc : MfccSettings
        Of the features that it was trained on.
    """

    model: Speech2Vec
    mfcc: MfccSettings

    @classmethod
    def of_run(cls, run: Path, checkpoint: str = LAST) -> SegmentEncoder:
        """The encoder of a run of ``speech2vec train``; its store says how MFCC are made.

        Parameters
        ----------
        run : Path
        checkpoint : {"last", "best"}
            As ``--checkpoint`` of ``speech2vec export``: both take the same weights.

        Raises
        ------
        UserError
            The folder is no run, or has no such checkpoint.
        """
        loaded = Run.load(run, checkpoint=checkpoint)
        return cls(loaded.model, validate_settings(MfccSettings, loaded.store.settings))

    def save(self, path: Path) -> None:
        """Write one file that needs neither run nor store."""
        metadata = {"model": self.model.settings.model_dump_json(), "mfcc": self.mfcc.model_dump_json()}
        with atomic_path(path) as temporary:
            tensors = {name: value.contiguous() for name, value in self.model.state_dict().items()}
            save_tensors(tensors, temporary, metadata=metadata)

    @classmethod
    def load(cls, path: Path) -> SegmentEncoder:
        """Read what `save` wrote.

        Raises
        ------
        UserError
            The file is not there, or damaged.
        """
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a mapping
            mfcc = validate_settings(MfccSettings, json.loads(metadata["mfcc"]))
            model = Speech2Vec(mfcc.n_mfcc, validate_settings(ModelSettings, json.loads(metadata["model"])))
            model.load_state_dict(tensors)
        except FileNotFoundError as error:
            raise UserError(
                f"{path} is not there: train the classifier again with --embeddings segments:RUN"
            ) from error
        except (SafetensorError, OSError, KeyError, ValueError, RuntimeError) as error:
            raise UserError(f"{path} is damaged: {str(error).splitlines()[0]}") from error
        return cls(model.eval(), mfcc)

    def encode(self, aligned: Path, utterance_ids: Sequence[str], jobs: int = 1) -> WordSegments:
        """Encode the aligned words of some utterances.

        Parameters
        ----------
        aligned : Path
            What ``speech2vec-align`` made of their utterances.jsonl.
        utterance_ids : sequence of str
            In the order that is wanted; an utterance without aligned words gets no vectors.
        jobs : int
            Processes for the MFCC.

        Raises
        ------
        UserError
            None of the utterances has an aligned word.
        """
        with tempfile.TemporaryDirectory() as folder:
            extract(aligned, Path(folder) / "store", self.mfcc, jobs=jobs, quiet=True)
            store = Store.open(Path(folder) / "store")
            instances = encode_instances(self.model, store)
            rows_of = {name: np.flatnonzero(store.utterance == i) for i, name in enumerate(store.utterance_ids)}
        nothing = np.zeros(0, dtype=np.int64)
        rows = [rows_of.get(name, nothing) for name in utterance_ids]
        if not any(len(own) for own in rows):
            raise UserError(f"{aligned} has aligned words for none of the {len(utterance_ids)} utterances")
        return WordSegments(instances[np.concatenate(rows)], np.array([len(own) for own in rows], dtype=np.int64))


def segments_coverage(segments: WordSegments) -> dict[str, Any]:
    """How many words were encoded, and how many utterances have none."""
    return {
        "tokens": int(segments.n_words.sum()),
        "texts_without_words": int((segments.n_words == 0).sum()),
    }
