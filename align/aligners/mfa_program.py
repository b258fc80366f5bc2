"""The program `mfa` (Montreal Forced Aligner): how it is found and run, and the corpus that is written for it.

Only the exit code of the program and the files that it writes tell whether it succeeded: its screen output wraps at the
width of the terminal, and is kept for the error message alone. One unreadable file ends a whole run, and file names are
its only keys; so its corpus is decoded audio with tokenised transcripts, one folder a speaker, under unique names.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf

from align.base import AlignmentError, Failure, Reason, unsayable
from speech2vec.corpus import audio
from speech2vec.corpus.manifest import Utterance
from speech2vec.corpus.transcripts import tokenize

INSTALL = "conda create -n mfa -c conda-forge montreal-forced-aligner"
SAMPLING_RATE = 16000  # Hz
SHORTEST_SECONDS = 0.1
# Nobody speaks faster than this for a whole utterance; above it, this is why no path was found.
MOST_WORDS_PER_SECOND = 9.0

_BAD_USAGE = 2  # exit code
_LINKED_FORMATS = ("WAV", "FLAC")
_VERSION = re.compile(r"\b(\d+)\.(\d+)(?:\.\w+)*")
_FRAME = re.compile(r"[\u2500-\u257f]+")
_ERROR = re.compile(r"(?:\w+\.)*\w*(?:Error|Exception|Interrupt)\b.*|.*Could not find.*|.*not find a model.*")


@dataclass(frozen=True)
class ExitStatus:
    """How a run ended.

    Parameters
    ----------
    exit_code : int
        Negative if it was killed by a signal.
    cause : str
        The line of its output that describes the error best; "" if there was none.
    """

    exit_code: int
    cause: str = ""

    @property
    def bad_usage(self) -> bool:
        """Whether the program rejected a model, a dictionary or an option."""
        return self.exit_code == _BAD_USAGE


class MfaProgram:
    """The program and its version.

    Parameters
    ----------
    program : str
        Its name on PATH, or its path.

    Raises
    ------
    AlignmentError
        If it is not found or does not run.
    """

    def __init__(self, program: str) -> None:
        found = shutil.which(program)
        if found is None:
            raise AlignmentError(
                f"the program '{program}' was not found. Install it with: {INSTALL} "
                "(then activate that environment, or add --set program=PATH_TO_MFA; see docs/install-mfa.md)"
            )
        self.path = Path(found).absolute()
        self.version = self._ask_version()

    def _ask_version(self) -> tuple[int, int]:
        try:
            answer = subprocess.run(
                [self.path, "version"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=120,
                env=self._environment(),
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise AlignmentError(f"{self.path} does not answer to 'version': {error}") from error
        match = _VERSION.search(answer.stdout)
        if answer.returncode != 0 or match is None:
            cause = _cause(answer.stdout + answer.stderr) or f"exit code {answer.returncode}"
            raise AlignmentError(f"{self.path} does not run ({cause}). Install it completely with: {INSTALL}")
        return int(match[1]), int(match[2])

    def _environment(self, root: Path | None = None) -> dict[str, str]:
        # Its tools (fstcompile, ...) are beside it, even if its environment is not activated.
        path = os.pathsep.join([str(self.path.parent), os.environ.get("PATH", "")])
        environment = {**os.environ, "PATH": path, "PYTHONIOENCODING": "utf-8"}
        if root is not None:
            environment["MFA_ROOT_DIR"] = str(root)
        return environment

    def align_command(
        self, corpus: Path, dictionary: str, model: str, output: Path, *, jobs: int, options: Mapping[str, object]
    ) -> list[str]:
        """Return the command line of an alignment with a model.

        Version 4 renamed this command to `align_legacy`, and its `align` takes other parameters.

        Raises
        ------
        AlignmentError
            If the program is of version 5 or later, which has no such command.
        """
        if self.version[0] >= 5:
            raise AlignmentError(
                f"{self.path} is version {self.version[0]}.{self.version[1]}, which no longer aligns with a dictionary "
                f"and a model; install version 3: {INSTALL}=3"
            )
        name = "align" if self.version[0] < 4 else "align_legacy"
        return self._command([name, str(corpus), dictionary, model, str(output)], jobs, options)

    def train_command(
        self, corpus: Path, dictionary: str, model: Path, output: Path, *, jobs: int, options: Mapping[str, object]
    ) -> list[str]:
        """Return the command line of a training on the corpus."""
        positional = ["train", str(corpus), dictionary, str(model), "--output_directory", str(output)]
        if self.version >= (3, 4):  # earlier versions write no analysis: words then get no score
            options = {**options, "output_analysis": "true"}
        return self._command(positional, jobs, options)

    def _command(self, positional: list[str], jobs: int, options: Mapping[str, object]) -> list[str]:
        # Always --clean: otherwise the alignments of an earlier corpus of the same name are reused, with exit code 0.
        command = [str(self.path), *positional, "--clean", "-j", str(jobs), "--output_format", "long_textgrid"]
        for name, value in options.items():
            if value not in ("", None):
                command += [f"--{name}", str(value)]
        return command

    def run(self, command: Sequence[str], root: Path, screen: Path) -> ExitStatus:
        """Run a command in a work folder of its own, `root`, which links to the models that the user has downloaded.

        Its output is written to the file `screen`.
        """
        root.mkdir(parents=True)
        models = user_root() / "pretrained_models"
        if models.is_dir():
            (root / "pretrained_models").symlink_to(models, target_is_directory=True)
        with screen.open("wb") as out:
            # A session of its own, so that its worker processes can be terminated with it.
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=root,
                env=self._environment(root),
                start_new_session=True,
            )
            try:
                exit_code = process.wait()
            finally:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGTERM)
                process.wait()
        if exit_code == 0:
            return ExitStatus(0)
        cause = _cause(screen.read_text(encoding="utf-8", errors="replace"))
        if exit_code < 0:
            cause = f"killed by signal {-exit_code}" + (f" ({cause})" if cause else "")
        return ExitStatus(exit_code, cause or f"exit code {exit_code}")


def user_root() -> Path:
    """Return where the program stores the models of the user: MFA_ROOT_DIR, or its default in Documents."""
    return Path(os.environ.get("MFA_ROOT_DIR") or Path.home() / "Documents" / "MFA").expanduser().absolute()


def _cause(screen: str) -> str:
    """Return the line of the output that names the error."""
    lines = [" ".join(_FRAME.sub(" ", line).split()) for line in screen.splitlines()]
    lines = [line for line in lines if line]
    errors = [place for place, line in enumerate(lines) if _ERROR.fullmatch(line) or "Error:" in line]
    if not errors:
        return lines[-1][:300] if lines else ""
    # A framed message has the kind of the error on one line, and the error on the next.
    return " ".join(lines[place] for place in errors[-2:])[:300]


@dataclass(frozen=True)
class Item:
    """An utterance in the program's corpus, under a unique name (the program's analysis has file stems only)."""

    utterance: Utterance
    tokens: list[str]
    duration: float
    speaker: str
    name: str

    def samples(self) -> np.ndarray:
        """The audio [shape=(n_samples,)], float32, mono at `SAMPLING_RATE`."""
        own = self.utterance
        return audio.load(own.audio, own.start, own.end, SAMPLING_RATE, own.channel)


def write_item(utterance: Utterance, speaker: str, name: str, corpus: Path) -> Item | Failure:
    """Write an utterance to the program's corpus; return why not if that is impossible.

    All audio is decoded, as one file that libsndfile cannot read ends the whole run. Mono files at 16 kHz are then
    linked; all others are converted, as the program loses files at other rates.
    """
    tokens = tokenize(utterance.text)
    if not tokens:
        return Failure(utterance.utterance_id, Reason.NO_WORDS, utterance.text)
    try:
        samples = audio.load(utterance.audio, utterance.start, utterance.end, SAMPLING_RATE, utterance.channel)
        info = audio.info(utterance.audio)
    except audio.AudioError as error:
        return Failure(utterance.utterance_id, Reason.UNREADABLE_AUDIO, str(error))
    duration = len(samples) / SAMPLING_RATE
    if duration < SHORTEST_SECONDS:
        return Failure(utterance.utterance_id, Reason.AUDIO_TOO_SHORT, f"{duration:.3f} s")
    if failure := unsayable(utterance, tokens, duration):
        return failure
    folder = corpus / speaker
    folder.mkdir(parents=True, exist_ok=True)
    whole = utterance.start is None and utterance.end is None
    kind = utterance.audio.suffix.lower().lstrip(".")
    if whole and (info.sampling_rate, info.n_channels) == (SAMPLING_RATE, 1) and kind.upper() in _LINKED_FORMATS:
        (folder / f"{name}.{kind}").symlink_to(utterance.audio.absolute())
    else:
        sf.write(folder / f"{name}.wav", samples, SAMPLING_RATE, subtype="PCM_16")
    (folder / f"{name}.lab").write_text(" ".join(tokens) + "\n", encoding="utf-8")
    return Item(utterance, tokens, duration, speaker, name)


def relink(items: Iterable[Item], corpus: Path, links: Path) -> None:
    """Make a corpus of links to the files of some items of another corpus."""
    for item in items:
        folder = links / item.speaker
        folder.mkdir(parents=True, exist_ok=True)
        for path in (corpus / item.speaker).glob(f"{item.name}.*"):
            (folder / path.name).symlink_to(path)


def too_fast(item: Item) -> bool:
    """Whether an utterance has more words than anyone can say in its duration."""
    return len(item.tokens) > MOST_WORDS_PER_SECOND * item.duration
