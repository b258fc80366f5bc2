"""An encoder that encodes words it has never seen: of one recording, of an ALIGNED folder, or of a corpus.

New recordings are normalised as the training store was, over their own words: those of a speaker, of an utterance or
of all the recordings given at once (``normalise`` of the run's features). The moments of the training speakers are not
used: they belong to other voices and microphones. A few words make poor moments, so that recordings of one speaker are
better encoded together.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from speech2vec.corpus.alignment import run_aligner
from speech2vec.corpus.manifest import (
    REPORT_FILE,
    UTTERANCES_FILE,
    WORDS_FILE,
    Utterance,
    read_report,
    write_utterances,
)
from speech2vec.corpus.readers import text_beside
from speech2vec.corpus.transcripts import tokenize
from speech2vec.features.extraction import extract
from speech2vec.features.frontend import FrontEnd, PretrainedSettings, Projection, feature_settings
from speech2vec.features.normalisation import mean_and_deviation
from speech2vec.features.parts import cut_samples
from speech2vec.features.store import Store
from speech2vec.model.encoding import encode_instances
from speech2vec.model.kinds import load_encoder, save_encoder
from speech2vec.model.word_encoder import WordEncoder, Words
from speech2vec.runtime.config import fingerprint
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.guarded import REMEDY, naming, parsing
from speech2vec.training.run import Run
from speech2vec.vectors.embeddings import Embeddings

_FEATURES = "mfcc"  # in a file's metadata: the settings of the features, once always MFCC


@dataclass(frozen=True)
class PortableEncoder:
    """A run's model with the settings of its features: all that new words need, without run or store.

    Parameters
    ----------
    model : WordEncoder
    front_end : FrontEnd
        Of the features that the model was trained on; a pretrained encoder itself stays where it is.
    """

    model: WordEncoder
    front_end: FrontEnd

    @classmethod
    def from_run(cls, run: Run) -> PortableEncoder:
        """The encoder of a run, at the checkpoint and on the device that `Run.load` was told."""
        return cls(run.model, FrontEnd.of_store(run.store))

    def save(self, path: str | Path) -> None:
        """Write one safetensors file."""
        projection = self.front_end.projection
        tensors = {} if projection is None else projection.tensors()
        save_encoder(Path(path), self.model, tensors, **{_FEATURES: self.front_end.settings.model_dump_json()})

    @classmethod
    def load(cls, path: str | Path) -> PortableEncoder:
        """Read what `save` wrote.

        Raises
        ------
        UserError
            If the file does not exist, or is damaged.
        """
        path = Path(path)
        if not path.exists():
            raise UserError(f"{path} does not exist: copy it from where the encoder was saved")
        model, metadata, tensors = load_encoder(path)
        with parsing(path, "an encoder"), naming(path):
            settings, projection = feature_settings(json.loads(metadata[_FEATURES])), None
            if isinstance(settings, PretrainedSettings):
                projection = Projection.from_tensors(tensors, settings.n_components)
        front_end = FrontEnd(settings, projection)
        if front_end.n_features != model.n_features:
            raise UserError(
                f"{path} is damaged: its encoder takes frames of {model.n_features} numbers, its features have "
                f"{front_end.n_features}: {REMEDY}"
            )
        return cls(model, front_end)

    def encode(
        self, waveform: np.ndarray, sampling_rate: int, words: Sequence[tuple[float, float]] | np.ndarray
    ) -> np.ndarray:
        """Encode words of one recording.

        Parameters
        ----------
        waveform : ndarray [shape=(n_samples,)]
            In [-1, 1].
        sampling_rate : int, Hz
        words : array_like [shape=(n_words, 2)], seconds
            Start and end of each word. They are also what the recording is normalised over.

        Returns
        -------
        ndarray [shape=(n_words, vector_size)], float32

        Raises
        ------
        UserError
            If the waveform is not mono and finite, or a word lies outside it.
        """
        samples = np.asarray(waveform, dtype=np.float32)
        if samples.ndim != 1 or not len(samples) or not np.isfinite(samples).all():
            raise UserError(f"a waveform has the shape (n_samples,) and finite samples; this one has {samples.shape}")
        if sampling_rate != self.front_end.settings.sampling_rate:
            samples = soxr.resample(samples, sampling_rate, self.front_end.settings.sampling_rate)
        start, end = np.asarray(words, dtype=np.float64).reshape(-1, 2).T
        cut = cut_samples(samples, start, end, self.front_end)
        outside = np.flatnonzero(cut.n_frames == 0)
        if len(outside):
            i = int(outside[0])
            raise UserError(
                f"{len(outside)} of {len(start)} words lie outside the recording of {cut.seconds:.2f} s or end before "
                f"they start (first: word {i}, {start[i]:.2f} to {end[i]:.2f} s)"
            )
        frames = cut.frames
        if self.front_end.settings.normalise != "none":
            exact = frames.astype(np.float64)
            mean, deviation = mean_and_deviation(len(exact), exact.sum(axis=0), (exact**2).sum(axis=0))
            frames = (frames - mean) / deviation
        return self.model.encode(Words.from_frames(frames, cut.n_frames))

    def encode_aligned(self, aligned: Path, *, jobs: int = 1, quiet: bool = True) -> Embeddings:
        """Encode all words of an ALIGNED folder.

        The frames of the words pass through a store in the system's folder for temporary files (TMPDIR; about 40 MB
        an hour of speech): a speaker's words are normalised when all of them are known, whatever the memory.

        Parameters
        ----------
        aligned : Path
            What ``speech2vec-align`` wrote.
        jobs : int
            Processes for the features.
        quiet : bool
            False shows progress.

        Raises
        ------
        UserError
            If the folder holds no aligned words, or none that can be used.
        """
        with tempfile.TemporaryDirectory() as folder:
            extraction = extract(aligned, Path(folder) / "store", self.front_end, jobs=jobs, quiet=quiet)
            store = Store.open(Path(folder) / "store")
            return Embeddings(
                [store.utterance_ids[i] for i in store.utterance],
                store.words(),
                store.start,
                store.end,
                encode_instances(self.model, store),
                np.flatnonzero(store.end - store.start < self.front_end.settings.frame_shift - 1e-6),
                extraction.seconds,
                extraction.failed,
                {"synthetic": store.synthetic},
            )


def embed(
    run: Run,
    source: str | Path,
    *,
    text: str | None = None,
    aligner: str = "pocketsphinx",
    keep_aligned: str | Path | None = None,
    jobs: int = 1,
    quiet: bool = True,
) -> Embeddings:
    """A vector for every spoken word of new recordings, which are aligned first if their words have no times.

    Parameters
    ----------
    run : Run
    source : Path
        An ALIGNED folder; or a folder of recordings with transcripts, an ``utterances.jsonl`` or one audio file, whose
        words the program ``speech2vec-align`` finds.
    text : str or None
        What is said in the one audio file; else the ``.lab`` or ``.txt`` file beside it.
    aligner : str
        As ``--aligner`` of ``speech2vec-align run``.
    keep_aligned : Path or None
        Where the ALIGNED folder is kept; an interrupted alignment is resumed there. None: it is deleted.
    jobs : int
        Processes.
    quiet : bool
        False shows progress.

    Returns
    -------
    Embeddings
        With every utterance that failed, in alignment or after it.

    Raises
    ------
    UserError
        If there is nothing to encode: no such folder or file, no transcript, no utterance that could be aligned.
    """
    source = Path(source)
    if not source.exists():
        raise UserError(f"{source} does not exist: give an audio file, a folder of recordings or an ALIGNED folder")
    is_audio = source.is_file() and source.suffix != ".jsonl"
    if text is not None and not is_audio:
        raise UserError(f"--text is the transcript of one audio file, and {source} is not an audio file")
    has_times = (source / WORDS_FILE).is_file()
    if has_times and keep_aligned is not None:
        raise UserError(f"{source} is aligned already: leave out --keep-aligned")
    with tempfile.TemporaryDirectory() as work:
        aligned, not_aligned = source, []
        if not has_times:
            aligned = Path(keep_aligned or Path(work) / "aligned")
            corpus = _write_utterance(source, text, Path(work) / UTTERANCES_FILE) if is_audio else source
            report = run_aligner(corpus, aligned, aligner, jobs=jobs, quiet=quiet)
            if not report["words"]:
                raise UserError(f"no utterance of {source} could be aligned{_first_failure(report['failed'])}")
        if (aligned / REPORT_FILE).is_file():
            not_aligned = read_report(aligned)["failed"]
        embeddings = PortableEncoder.from_run(run).encode_aligned(aligned, jobs=jobs, quiet=quiet)
    metadata = {
        "run": str(run.path.absolute()),
        "fingerprint": fingerprint(run.settings),
        "method": run.settings.method,
        "labels": run.labels,
        "synthetic": run.store.synthetic or embeddings.synthetic,
    }
    return dataclasses.replace(embeddings, failed=[*not_aligned, *embeddings.failed], metadata=metadata)


def _write_utterance(audio: Path, text: str | None, file: Path) -> Path:
    """One recording and its transcript as an ``utterances.jsonl``."""
    text = text_beside(audio) if text is None else text
    if text is None:
        raise UserError(f"{audio} has no transcript: give --text, or put a .txt or .lab file of its name beside it")
    if not tokenize(text):
        raise UserError(f"the transcript of {audio} holds no words")
    write_utterances(file, [Utterance(audio.stem, audio.absolute(), text, audio.stem)])
    return file


def _first_failure(failed: list[dict[str, str]]) -> str:
    return f" (first: {failed[0]['utterance_id']}: {failed[0]['reason']}, {failed[0]['detail']})" if failed else ""
