"""What is slow to compute from an utterance's audio, kept beside the corpus."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from filelock import FileLock

from speech2vec.corpus.manifest import Utterance
from speech2vec.runtime.files import atomic_path, require_file
from speech2vec.runtime.guarded import parsing
from speech2vec.runtime.progress import log


def cached_vectors(
    utterances: Sequence[Utterance],
    compute: Callable[[Utterance], np.ndarray],
    cache: Path | None,
    name: str,
) -> np.ndarray:
    """A vector for each utterance, read from the folder `cache` where it is known, else computed and kept there.

    Parameters
    ----------
    utterances : sequence of Utterance
    compute : callable
        Utterance -> ndarray [shape=(size,)], float32.
    cache : Path or None
        None keeps nothing.
    name : str
        Of the kind of vector, with everything that its values depend on.

    Returns
    -------
    ndarray [shape=(n_utterances, size)], float32

    Raises
    ------
    UserError
        The file in the cache is damaged.
    """
    if cache is None:
        return np.stack([compute(utterance) for utterance in utterances])
    cache.mkdir(exist_ok=True)
    path = cache / f"{name}.npz"
    with FileLock(cache / f".{name}.lock"):  # folds in other processes wait, and find them
        known = _read(path) if path.exists() else {}
        missing = [utterance for utterance in utterances if utterance.utterance_id not in known]
        if missing:
            log.info("computing %s of %d utterances, once for this corpus", name, len(missing))
            for utterance in missing:
                known[utterance.utterance_id] = compute(utterance)
            with atomic_path(path) as temporary, temporary.open("wb") as out:
                np.savez(out, names=np.array(list(known)), vectors=np.stack(list(known.values())))
    return np.stack([known[utterance.utterance_id] for utterance in utterances])


def _read(path: Path) -> dict[str, np.ndarray]:
    remedy = "remove it, and it is computed again"
    with (
        parsing(path, "a cache, or is damaged", remedy),
        np.load(require_file(path), allow_pickle=False) as stored,
    ):
        return dict(zip(stored["names"].tolist(), stored["vectors"], strict=True))
