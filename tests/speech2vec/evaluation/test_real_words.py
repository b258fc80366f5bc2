"""The measures on real speech: warping hears words across speakers, the mean of the frames hears fewer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from speech2vec.corpus.manifest import write_utterances
from speech2vec.corpus.readers import read_corpus
from speech2vec.evaluation.average_precision import precision_of_distances, precision_of_vectors
from speech2vec.evaluation.dtw import dtw_distances, sample_whole_words
from speech2vec.evaluation.same_different import InstanceFilter
from speech2vec.features.store import Store
from speech2vec.vectors.instances import mean_frames

pytestmark = pytest.mark.corpus


def test_warping_beats_the_mean_frame_which_beats_chance(test_data: Path, tmp_path: Path) -> None:
    librispeech = test_data / "librispeech"
    spoken = read_corpus(librispeech / "LibriSpeech" / "dev-clean").utterances
    some = [utterance for utterance in spoken if utterance.speaker in {"1272", "1462", "1988", "2035"}]
    write_utterances(tmp_path / "utterances.jsonl", some)
    alignments = librispeech / "alignments" / "dev-clean"
    for command in (
        ["align", "import", "utterances.jsonl", "--alignments", str(alignments), "-o", "aligned"],
        ["speech2vec", "features", "aligned", "-o", "store", "--jobs", "1"],
    ):
        done = subprocess.run([sys.executable, "-m", *command, "--quiet"], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    store = Store.open(tmp_path / "store")
    chosen = InstanceFilter(min_seconds=0.4).select_rows(store, np.arange(store.n_words))
    rows = chosen[sample_whole_words(store.word_id[chosen], 150, seed=0)]
    word_id, speaker = store.word_id[rows], store.speaker[rows]
    mean = precision_of_vectors(
        mean_frames(store.frames, store.first_frame[rows], store.n_frames[rows]), word_id, speaker
    )
    pairs = np.column_stack(np.triu_indices(len(rows), 1))
    distances = dtw_distances([store.segment(int(row)) for row in rows], pairs)
    warped = precision_of_distances(distances, word_id, speaker)
    assert mean.across_speakers.n_same >= 30
    assert mean.across_speakers.ap > 3 * mean.across_speakers.chance
    assert warped.across_speakers.ap > 2 * mean.across_speakers.ap
    assert warped.all_pairs.ap > 2 * mean.all_pairs.ap
