"""Forced alignment with the Montreal Forced Aligner, by running the program `mfa`.

The program skips files silently and changes the words it aligns. It is therefore given a corpus written for it (see
`align.aligners.mfa_program`); afterwards the output of each file is looked up, and its words are matched with the
transcript.

McAuliffe et al., "Montreal Forced Aligner: trainable text-speech alignment using Kaldi", Interspeech 2017.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import zipfile
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import Field, field_validator

from align.aligners.mfa_program import ExitStatus, Item, MfaProgram, relink, too_fast, user_root, write_item
from align.base import (
    Aligned,
    Aligner,
    AlignmentError,
    AlignmentResult,
    Failure,
    Reason,
    find_impossible_time,
    to_file_time,
)
from align.formats import textgrid
from align.formats.mfa import read_analysis
from align.formats.tracks import FormatError, Interval, read_text
from align.matching import match_enough
from align.plausibility import find_implausible
from speech2vec.corpus.manifest import Utterance
from speech2vec.runtime.config import Settings
from speech2vec.runtime.files import atomic_path, require_file, shortened

log = logging.getLogger("speech2vec.align")

UNKNOWN_PHONE = "spn"


class MfaSettings(Settings):
    """Settings of the Montreal Forced Aligner.

    Parameters
    ----------
    program : str
        Its name on PATH, or its path.
    train : bool
        Train the acoustic model on the corpus itself; a dictionary is still needed.
    dictionary : str
        A path, or the name of a dictionary downloaded with `mfa model download dictionary`.
    acoustic_model : str
        A path, or the name of a model downloaded with `mfa model download acoustic`; ignored if `train` is set.
    g2p_model : str
        A path or name; predicts the pronunciation of unknown words. Without it they are aligned as noise.
    training_config : str
        Path of a training configuration; "" is the program's default.
    keep_model : str
        Where to save the trained model, a file named ``.zip``; "" discards it.
    beam, retry_beam : int
        Beams of the first pass.
    wide_beam, wide_retry_beam : int
        Beams of a second pass over the utterances that the first left out; ``wide_beam=0`` disables it.
    min_matched : float
        Share of the words of a transcript that must be found, 0 to 1; else the utterance fails.
    check_speech : bool
        Fail an utterance that was aligned but cannot be speech (`align.plausibility`): silence, noise or tones, which
        the wide beams align with any words.
    """

    program: str = "mfa"
    train: bool = False
    dictionary: str = "english_us_arpa"
    acoustic_model: str = "english_us_arpa"
    g2p_model: str = ""
    training_config: str = ""
    keep_model: str = ""
    beam: int = Field(10, ge=1)
    retry_beam: int = Field(40, ge=1)
    wide_beam: int = Field(100, ge=0)
    wide_retry_beam: int = Field(400, ge=0)
    min_matched: float = Field(0.5, ge=0, le=1)
    check_speech: bool = True

    @field_validator("keep_model")
    @classmethod
    def _names_a_zip(cls, value: str) -> str:
        if value and Path(value).suffix != ".zip":  # the program would fail when it saves the model
            raise ValueError("the name of the model must end in .zip")
        return value


class MfaAligner(Aligner):
    """Aligns all utterances in one run of the program `mfa`, which adapts to each speaker.

    Parameters
    ----------
    settings : MfaSettings
    jobs : int
        Number of worker processes of the program.
    device : str
        Ignored.

    Raises
    ------
    AlignmentError
        If the program, a model or the dictionary is missing or broken.
    """

    settings_type: ClassVar[type[Settings]] = MfaSettings
    whole_corpus: ClassVar[bool] = True
    parallel: ClassVar[bool] = False
    takes_device: ClassVar[bool] = False

    def __init__(self, settings: MfaSettings, *, jobs: int = 1, device: str = "cpu") -> None:
        self.settings = settings
        self.jobs = jobs
        self.program = MfaProgram(settings.program)
        log.info("%s, version %d.%d", self.program.path, *self.program.version)

    @classmethod
    def extra_outputs(cls, settings: MfaSettings) -> dict[str, Path]:
        """The trained model, if it is kept."""
        return {"keep_model": _absolute(settings.keep_model)} if settings.train and settings.keep_model else {}

    def align(self, utterances: Sequence[Utterance]) -> Iterator[AlignmentResult]:
        """Yield one result for each utterance; see `Aligner.align`."""
        with tempfile.TemporaryDirectory(prefix="speech2vec-mfa-", ignore_cleanup_errors=True) as folder:
            work = Path(folder)
            items: list[Item] = []
            speakers: dict[str, str] = {}
            for number, utterance in enumerate(utterances):
                speaker = speakers.setdefault(utterance.speaker, f"speaker{len(speakers):05d}")
                item = write_item(utterance, speaker, f"utterance{number:07d}", work / "first" / "corpus")
                if isinstance(item, Failure):
                    yield item
                else:
                    items.append(item)
            if items:
                yield from self._align_items(items, work)

    def _align_items(self, items: Sequence[Item], work: Path) -> Iterator[AlignmentResult]:
        settings = self.settings
        first, second = work / "first", work / "second"
        _check_dictionary(settings.dictionary)
        trained = work / "model" / "trained.zip"  # not where it is kept: a dictionary is written beside it
        kept = None if self.state is None else self.state / "trained.zip"
        resumed = settings.train and kept is not None and zipfile.is_zipfile(kept)
        if resumed and kept is not None:
            # Training again, on the few utterances that are left, would make another model than that of the others.
            log.info("aligning with the model that was trained before the interruption")
            trained = kept
        model = str(trained) if settings.train else _path_or_name(settings.acoustic_model)
        ended = self.program.run(self._first_command(first, model, resumed), first / "root", first / "screen.txt")
        if settings.train:
            for path in filter(None, (None if resumed else kept, *self.extra_outputs(settings).values())):
                _keep(trained, path)
        left = yield from self._collect(items, first / "out")
        if ended.exit_code > 0 and len(left) == len(items):
            raise AlignmentError(f"mfa {_describe_failure(ended)}: {ended.cause}")
        retry = [item for item in left if not too_fast(item)]
        if ended.exit_code == 0 and retry and settings.wide_beam and (not settings.train or trained.exists()):
            log.info("%d of %d utterances were left out: retrying with a wider beam", len(retry), len(items))
            relink(retry, first / "corpus", second / "corpus")
            self._run_again(second, model)
            left = [item for item in left if too_fast(item)] + (yield from self._collect(retry, second / "out"))
        # With a model for unknown words, all words have a pronunciation.
        known = _dictionary_words(settings.dictionary) if left and not settings.g2p_model else None
        for item in left:
            yield _why_left_out(item, ended, known)

    def _first_command(self, folder: Path, model: str, resumed: bool = False) -> list[str]:
        """Return the command line of the first pass, which aligns, or trains `model` and aligns with it."""
        settings = self.settings
        corpus, dictionary, out = folder / "corpus", _path_or_name(settings.dictionary), folder / "out"
        narrow = self._options(settings.beam, settings.retry_beam)
        if not settings.train or resumed:
            return self.program.align_command(corpus, dictionary, model, out, jobs=self.jobs, options=narrow)
        for path in (Path(model), *self.extra_outputs(settings).values()):
            path.parent.mkdir(parents=True, exist_ok=True)
        options = {**narrow, "config_path": _path_or_name(settings.training_config)}
        return self.program.train_command(corpus, dictionary, Path(model), out, jobs=self.jobs, options=options)

    def _run_again(self, folder: Path, model: str) -> None:
        """Run the second pass, with the wide beams."""
        settings = self.settings
        wide = self._options(settings.wide_beam, settings.wide_retry_beam)
        corpus, dictionary, out = folder / "corpus", _path_or_name(settings.dictionary), folder / "out"
        command = self.program.align_command(corpus, dictionary, model, out, jobs=self.jobs, options=wide)
        ended = self.program.run(command, folder / "root", folder / "screen.txt")
        if ended.exit_code != 0:
            log.warning("the second pass failed (%s)", ended.cause)

    def _options(self, beam: int, retry_beam: int) -> dict[str, object]:
        return {"beam": beam, "retry_beam": retry_beam, "g2p_model_path": _path_or_name(self.settings.g2p_model)}

    def _collect(self, items: Iterable[Item], out: Path) -> Generator[AlignmentResult, None, list[Item]]:
        """Yield the results of the files that were written; return the items without one."""
        scores = _log_likelihoods(out / "alignment_analysis.csv")
        left = []
        for item in items:
            path = out / item.speaker / f"{item.name}.TextGrid"
            if path.is_file():
                yield self._read(item, path, scores.get(item.name))
            else:
                left.append(item)
        return left

    def _read(self, item: Item, path: Path, score: float | None) -> AlignmentResult:
        name = item.utterance.utterance_id
        try:
            text = read_text(path)
            words = [word for track in textgrid.read(text) for word in track.words]
            unknown = _unknown_phones(text)
        except FormatError as error:
            return Failure(name, Reason.UNREADABLE_ALIGNMENT, f"the TextGrid that mfa wrote {error}")
        matching = match_enough(name, words, item.tokens, min_matched=self.settings.min_matched)
        if isinstance(matching, Failure):
            return matching
        if matching.missing:
            log.info("%s: %s", name, matching.describe())
        timed = tuple(to_file_time(item.utterance, word.label, word.start, word.end, score) for word in matching.words)
        if (
            self.settings.check_speech
            and not find_impossible_time(timed)  # that is found, and told, for every aligner
            and (fault := find_implausible(timed, item.samples(), item.utterance.start or 0.0))
        ):
            return Failure(name, Reason.NOT_SPEECH, fault)
        return Aligned(
            name,
            timed,
            {word.label: UNKNOWN_PHONE for word in matching.words if _is_unknown(word, unknown)},
        )


def _check_dictionary(dictionary: str) -> None:
    """Check a dictionary that is a file, as the program names neither the file nor the line at fault.

    Raises
    ------
    AlignmentError
        Naming the first line that is not UTF-8, or has a word without phones.
    """
    path = _absolute(dictionary)
    if not path.exists() or zipfile.is_zipfile(path):
        return
    for number, line in enumerate(require_file(path).read_bytes().split(b"\n"), start=1):
        try:
            fields = line.decode("utf-8").split()
        except UnicodeDecodeError as error:
            raise AlignmentError(f"dictionary {path}, line {number}: not UTF-8 ({error.reason}): convert it") from error
        if len(fields) == 1:
            raise AlignmentError(f"dictionary {path}, line {number}: {shortened(fields[0])} has no phones: add them")


def _absolute(value: str) -> Path:
    return Path(value).expanduser().absolute()


def _keep(trained: Path, path: Path) -> None:
    """Copy the trained model to where the user wants it."""
    if not zipfile.is_zipfile(trained):
        log.warning("mfa did not finish its model: %s was not written", path)
        return
    with atomic_path(path) as temporary:
        shutil.copyfile(trained, temporary)


def _path_or_name(value: str) -> str:
    """Make a path absolute, as the program runs in another folder; keep the name of a downloaded model."""
    path = Path(value).expanduser()
    return str(_absolute(value)) if value and (path.exists() or len(path.parts) > 1) else value


def _describe_failure(ended: ExitStatus) -> str:
    if ended.bad_usage:
        return "rejected the dictionary or the model (give a path, or a name that 'mfa model download' knows)"
    return "failed before it aligned anything"


def _log_likelihoods(path: Path) -> dict[str, float]:
    """Return the log-likelihood per frame of each utterance; without the file there are none."""
    if not path.is_file():
        return {}
    try:
        rows = read_analysis(read_text(path))
    except FormatError as error:
        log.warning("alignment_analysis.csv %s: words get no score", error)
        return {}
    return {row.file: row.log_likelihood for row in rows if row.log_likelihood is not None}


def _unknown_phones(text: str) -> list[Interval]:
    """Return the intervals in which an unknown word was aligned as noise."""
    try:
        tracks = textgrid.read(text, tier="phones")
    except FormatError:
        return []
    return [phone for track in tracks for phone in track.words if phone.label == UNKNOWN_PHONE]


def _is_unknown(word: Interval, unknown_phones: Sequence[Interval]) -> bool:
    return any(phone.start < word.end and word.start < phone.end for phone in unknown_phones)


def _dictionary_words(dictionary: str) -> set[str] | None:
    """Return the words of a dictionary, a path or the name of a downloaded one; None if it is not found."""
    path = _absolute(dictionary)
    if not path.is_file():
        path = user_root() / "pretrained_models" / "dictionary" / f"{dictionary}.dict"
    if not path.is_file():
        return None
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return {line.split()[0].lower() for line in lines if line.strip()}


def _is_known(word: str, known: set[str]) -> bool:
    """Whether the program has a pronunciation: of the word, or of both its parts around an apostrophe."""
    cuts = (i for i in range(1, len(word)) if "'" in word[i - 1 : i + 1])
    return word in known or any(word[:i] in known and word[i:] in known for i in cuts)


def _why_left_out(item: Item, ended: ExitStatus, known: set[str] | None) -> Failure:
    """Return the most likely reason why the program wrote no file, as it gives none itself."""
    name = item.utterance.utterance_id
    if ended.exit_code < 0:
        return Failure(name, Reason.ALIGNER_CRASHED, f"mfa {ended.cause}")
    if ended.exit_code > 0:
        return Failure(name, Reason.ALIGNER_FAILED, f"mfa: {ended.cause}")
    if too_fast(item):
        return Failure(name, Reason.AUDIO_TOO_SHORT, f"{len(item.tokens)} words in {item.duration:.2f} s")
    unknown = [] if known is None else [token for token in item.tokens if not _is_known(token, known)]
    detail = f"words without a pronunciation: {' '.join(unknown[:10])}" if unknown else "mfa wrote no file for it"
    return Failure(name, Reason.NO_ALIGNMENT, detail)
