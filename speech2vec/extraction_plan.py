"""What of an ALIGNED folder is to be extracted, cut into parts that processes and machines share."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from speech2vec.config import fingerprint
from speech2vec.corpora import is_synthetic
from speech2vec.errors import UserError
from speech2vec.files import read_json
from speech2vec.manifest import REPORT_FILE, UTTERANCES_FILE, WORDS_FILE, Utterance, read_utterances, read_words
from speech2vec.mfcc import MfccSettings

PLAN_FILE = "plan.json"
# Utterances to a part: some minutes of speech, a second of work.
_PART = 64


@dataclass(frozen=True)
class Part:
    """The utterances of one part, and their words.

    Parameters
    ----------
    number : int
    utterances : list of Utterance
    words : pyarrow.Table
        Rows of ``words.parquet``, those of one utterance after those of the other.
    n_words : list of int
        Of each utterance.
    """

    number: int
    utterances: list[Utterance]
    words: pa.Table
    n_words: list[int]


class Plan:
    """What is to be extracted, cut into parts.

    Parameters
    ----------
    aligned : Path

    Raises
    ------
    UserError
        If the folder holds no words, or words that do not fit its utterances.
    """

    def __init__(self, aligned: Path) -> None:
        self._words = read_words(aligned)
        if not len(self._words):
            raise UserError(f"{aligned} holds no aligned words: its {REPORT_FILE} says why")
        utterances = {utterance.utterance_id: utterance for utterance in read_utterances(aligned)}
        ids = self._words["utterance_id"].combine_chunks().dictionary_encode()
        index = ids.indices.to_numpy()
        changes = np.flatnonzero(index[1:] != index[:-1]) + 1
        self._begins = np.concatenate([[0], changes, [len(index)]])
        names = ids.dictionary.to_pylist()
        if len(names) != len(self._begins) - 1:
            raise UserError(f"{aligned / WORDS_FILE}: the words of an utterance do not lie together")
        unknown = [name for name in names if name not in utterances]
        if unknown:
            raise UserError(
                f"{aligned / WORDS_FILE} names utterances that {UTTERANCES_FILE} lacks, '{unknown[0]}' for one"
            )
        start = self._words["start"].to_numpy()
        backwards = (start[1:] < start[:-1]) & (index[1:] == index[:-1])
        if backwards.any():
            name = names[index[int(backwards.argmax())]]
            raise UserError(f"{aligned / WORDS_FILE}: the words of utterance '{name}' are not in order of time")
        self._utterances = [utterances[name] for name in names]
        self.synthetic = any(is_synthetic(folder) for folder in {u.audio.parent for u in self._utterances})
        self.hash = hashlib.sha256()
        for name in (WORDS_FILE, UTTERANCES_FILE):
            with (aligned / name).open("rb") as file:
                while block := file.read(2**20):
                    self.hash.update(block)

    def __len__(self) -> int:
        """The number of parts."""
        return -(-len(self._utterances) // _PART)

    def n_utterances(self, number: int) -> int:
        return len(self._utterances[number * _PART : (number + 1) * _PART])

    def part(self, number: int) -> Part:
        utterances = self._utterances[number * _PART : (number + 1) * _PART]
        begins = self._begins[number * _PART : number * _PART + len(utterances) + 1]
        # `take` copies: a slice would carry the whole table along to another process.
        words = self._words.take(np.arange(begins[0], begins[-1]))
        return Part(number, utterances, words, np.diff(begins).tolist())

    def describe(self, settings: MfccSettings, shard: tuple[int, int]) -> dict[str, Any]:
        """What the parts in a folder are of; those of other settings, words or shard do not belong with them."""
        return {
            "fingerprint": fingerprint(settings),
            "settings": settings.model_dump(mode="json"),
            "aligned": self.hash.hexdigest(),
            "n_parts": len(self),
            "shard": list(shard),
            "synthetic": self.synthetic,
        }


def read_plan(file: Path) -> dict[str, Any]:
    """What `Plan.describe` said when the parts were begun."""
    plan = read_json(file)
    if not isinstance(plan, dict) or not {"fingerprint", "settings", "aligned", "n_parts", "shard"} <= plan.keys():
        raise UserError(f"{file} is not the plan of a feature extraction")
    return plan
