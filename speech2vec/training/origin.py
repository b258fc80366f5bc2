"""What a run records of the store that it was trained on (``store.json``), and whether another store is that one."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import BaseModel

from speech2vec.features.rows import starts_of_runs
from speech2vec.features.store import Store
from speech2vec.runtime.files import read_json_as, write_json
from speech2vec.training.methods.method import NO_LABELS

ORIGIN_FILE = "store.json"


class Origin(BaseModel):
    """The contents of ``store.json``; runs made before may lack what has a default.

    Parameters
    ----------
    path, fingerprint : str
        Of the store, and of the settings of its features.
    n_words : int or None
    words : str or None
        `words_fingerprint` of the store.
    labels : str
        What beside sound and word boundaries training used.
    synthetic : bool
    """

    path: str
    fingerprint: str
    n_words: int | None = None
    words: str | None = None
    labels: str = NO_LABELS
    synthetic: bool = False

    @classmethod
    def of(cls, store: Store, labels: str) -> Origin:
        """That of a new run."""
        return cls(
            path=str(store.path.absolute()),
            fingerprint=store.fingerprint,
            n_words=store.n_words,
            words=words_fingerprint(store),
            labels=labels,
            synthetic=store.synthetic,
        )

    @classmethod
    def read(cls, run: Path) -> Origin:
        """That of a run; a `UserError` if the file is missing or damaged."""
        return cls(**read_json_as(run / ORIGIN_FILE, cls, "the origin of a run"))

    def write(self, run: Path) -> None:
        """Write it to a run."""
        write_json(run / ORIGIN_FILE, self.model_dump())

    def has_words_of(self, store: Store) -> bool:
        """Whether the words of a store are those that the run was split on, as far as the run tells."""
        if self.words is not None:
            return self.words == words_fingerprint(store)
        return self.n_words in (None, store.n_words)


def words_fingerprint(store: Store) -> str:
    """Hash of who said which words in which utterances: 12 hexadecimal digits of a SHA-256."""
    first = starts_of_runs(store.utterance)
    names = [store.utterance_ids, store.speakers]
    of = [store.utterance[first], store.speaker[first]]
    spelled = [name[number] for name, numbers in zip(names, of, strict=True) for number in numbers]
    digest = hashlib.sha256("\n".join([*spelled, *store.types]).encode())
    for values in (first, store.word_id):
        digest.update(values.astype("<i8").tobytes())
    return digest.hexdigest()[:12]
