"""What frames are normalised by: mean and standard deviation of each speaker, utterance or corpus."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from speech2vec.features.frontend import FeatureSettings
from speech2vec.features.parts import read_frames
from speech2vec.features.rows import starts_of_runs


def normalisation_groups(words: pa.Table, settings: FeatureSettings) -> tuple[np.ndarray, list[str]]:
    """The normalisation group of each word [shape=(n_words,)], and the groups' names."""
    if settings.normalise in ("corpus", "none"):
        return np.zeros(len(words), dtype=np.int32), ["corpus"]
    column = words["speaker" if settings.normalise == "speaker" else "utterance_id"].combine_chunks()
    return column.indices.to_numpy(), column.dictionary.to_pylist()


def moments_of_parts(
    files: list[Path], tables: list[pa.Table], groups_of: list[np.ndarray], n_groups: int, n_features: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the frames of each group [shape=(n_groups, n_features)], float32.

    Parameters
    ----------
    files, tables : list of Path, list of Table
        Of the parts: their words' files, and the words.
    groups_of : list of ndarray [shape=(n_words,)], int
        The group of each word of a part.
    n_groups, n_features : int
    """
    count = np.zeros((n_groups, 1))
    total, squares = np.zeros((n_groups, n_features)), np.zeros((n_groups, n_features))
    for file, table, group in zip(files, tables, groups_of, strict=True):
        if not len(table):
            continue
        frames = read_frames(file, table).astype(np.float64)
        # Words of one group are mostly contiguous: sum over runs of them.
        runs = starts_of_runs(group)
        first = table["first_frame"].to_numpy()[runs]
        np.add.at(count, group[runs], np.diff(np.append(first, len(frames)))[:, None])
        np.add.at(total, group[runs], np.add.reduceat(frames, first))
        np.add.at(squares, group[runs], np.add.reduceat(frames**2, first))
    return mean_and_deviation(count, total, squares)


def mean_and_deviation(
    count: np.ndarray | int, total: np.ndarray, squares: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (float32) from the number of frames, their sum and their sum of squares."""
    mean = total / np.maximum(count, 1)
    variance = squares / np.maximum(count, 1) - mean**2
    # A constant coefficient becomes zero instead of being divided by a tiny deviation.
    deviation = np.sqrt(np.where(variance > 1e-8, variance, 1.0))
    return mean.astype(np.float32), deviation.astype(np.float32)
