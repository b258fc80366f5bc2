"""Small corpora with every fault that a corpus can have, and the promise that each of their utterances is answered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile as sf
from hypothesis import strategies as st

from align.aligned import iterate_aligned, read_failures, write_aligned
from align.base import Aligner, Failure, Reason, check_results
from speech2vec.corpus.manifest import Utterance

TEXTS = ["the fox", "The QUICK-brown, fox!", "zorp 42", "[laughter] --", "", "fox " * 60, "東京", "impossible"]
PARTS = [(None, None), (0.1, 0.4), (0.2, None), (0.3, 0.31), (0.4, 9.0), (5.0, 6.0)]
SPEAKERS = ["s", "a/b", "..", "ü"]


def write_sounds(folder: Path) -> list[Path]:
    """Audio files, good and bad, and one that is not there."""
    noise = 0.1 * np.random.default_rng(0).standard_normal(8000)
    sounds = {"good": noise, "short": noise[:10], "empty": noise[:0], "silent": 0 * noise, "nan": np.nan * noise}
    for name, samples in sounds.items():
        sf.write(folder / f"{name}.wav", samples, 16000, subtype="FLOAT")
    sf.write(folder / "stereo.wav", np.stack([noise, -noise], axis=1), 16000)
    sf.write(folder / "other.flac", noise, 11025)
    (folder / "cut.flac").write_bytes((folder / "other.flac").read_bytes()[:3000])
    (folder / "text.wav").write_text("no audio")
    return [*sorted(folder.iterdir()), folder / "gone.wav"]


def faulty_corpora(sounds: list[Path], max_size: int) -> st.SearchStrategy[list[Utterance]]:
    """Corpora of a few utterances, half of them good by chance."""
    good = next(path for path in sounds if path.stem == "good")
    utterances = st.builds(
        lambda name, audio, text, speaker, part, channel: Utterance(name, audio, text, speaker, *part, channel),
        st.text(st.sampled_from("ab/. ü"), min_size=1, max_size=6),
        st.one_of(st.just(good), st.sampled_from(sounds)),
        st.sampled_from(TEXTS),
        st.sampled_from(SPEAKERS),
        st.one_of(st.just((None, None)), st.sampled_from(PARTS)),
        st.sampled_from([None, None, 0, 1]),
    )
    return st.lists(utterances, min_size=1, max_size=max_size, unique_by=lambda u: u.utterance_id)


def check_that_asked_is_aligned_or_reported(aligner: Aligner, asked: list[Utterance], folder: Path) -> None:
    """Every utterance is in one of the two, for a reason of its own and not by an exception."""
    outcomes = list(check_results(asked, iter(aligner.align(asked))))
    assert sorted(o.utterance_id for o in outcomes) == sorted(u.utterance_id for u in asked)
    failures = [o for o in outcomes if isinstance(o, Failure)]
    assert not [f for f in failures if f.reason in (Reason.ALIGNER_FAILED, Reason.NO_ANSWER)]
    report = write_aligned(folder, asked, outcomes)
    assert report["asked"] == len(asked) == report["aligned"] + len(report["failed"])
    names = [o.utterance_id for o in iterate_aligned(folder)] + [f.utterance_id for f in read_failures(report)]
    assert sorted(names) == sorted(u.utterance_id for u in asked)
