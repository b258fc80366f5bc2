"""The program `mfa` (Montreal Forced Aligner): finding it, asking for its version, running it and telling how it ended.

Its screen output is never read for status, as it wraps at the terminal's width; only its exit code and the files it
leaves count. The output is kept for the one line that says why a run failed.

The corpus that the program `mfa` gets: decoded audio, one folder a speaker, unique names, tokenised transcripts.
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

import soundfile as sf

from align.base import AlignmentError, Failure, Reason
from speech2vec.corpus import audio
from speech2vec.corpus.manifest import Utterance
from speech2vec.corpus.transcripts import tokenize

INSTALL = "conda create -n mfa -c conda-forge montreal-forced-aligner"


_BAD_USAGE = 2


_VERSION = re.compile(r"\b(\d+)\.(\d+)(?:\.\w+)*")


_FRAME = re.compile(r"[\u2500-\u257f]+")


_ERROR = re.compile(r"(?:\w+\.)*\w*(?:Error|Exception|Interrupt)\b.*|.*Could not find.*|.*not find a model.*")


@dataclass(frozen=True)
class ExitStatus:
    """How a run ended.

    Parameters
    ----------
    exit_code : int
        Negative if a signal ended it.
    cause : str
        The line of its output that says most, for a person; "" if it ended well.
    """

    exit_code: int
    cause: str = ""

    @property
    def bad_usage(self) -> bool:
        """Whether the program refused a model, a dictionary or an option."""
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
        If it is not there, does not answer, or its version is not one this adapter knows.
    """

    def __init__(self, program: str) -> None:
        found = shutil.which(program)
        if found is None:
            raise AlignmentError(
                f"the program '{program}' is not there. This installs it: {INSTALL} "
                "(then run in that environment, or give --set program=PATH_TO_MFA; docs/install-mfa.md)"
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
            raise AlignmentError(f"{self.path} does not answer 'version': {error}") from error
        match = _VERSION.search(answer.stdout)
        if answer.returncode != 0 or match is None:
            cause = _cause(answer.stdout + answer.stderr) or f"exit code {answer.returncode}"
            raise AlignmentError(f"{self.path} does not run ({cause}). This installs it whole: {INSTALL}")
        return int(match[1]), int(match[2])

    def _environment(self, root: Path | None = None) -> dict[str, str]:
        # The tools it starts (fstcompile, ...) lie beside it, also when its environment is not activated.
        path = os.pathsep.join([str(self.path.parent), os.environ.get("PATH", "")])
        environment = {**os.environ, "PATH": path, "PYTHONIOENCODING": "utf-8"}
        if root is not None:
            environment["MFA_ROOT_DIR"] = str(root)
        return environment

    def align_command(
        self, corpus: Path, dictionary: str, model: str, output: Path, *, jobs: int, options: Mapping[str, object]
    ) -> list[str]:
        """The command line of an alignment with a model.

        Version 4 gives the name `align` to another signature and calls this one `align_legacy`.

        Raises
        ------
        AlignmentError
            If the version no longer has such a command.
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
        """The command line of a training on the corpus itself."""
        positional = ["train", str(corpus), dictionary, str(model), "--output_directory", str(output)]
        return self._command(positional, jobs, options)

    def _command(self, positional: list[str], jobs: int, options: Mapping[str, object]) -> list[str]:
        # Always --clean: without it, an earlier corpus of the same name yields its old alignments, with exit code 0.
        command = [str(self.path), *positional, "--clean", "-j", str(jobs), "--output_format", "long_textgrid"]
        for name, value in options.items():
            if value not in ("", None):
                command += [f"--{name}", str(value)]
        return command

    def run(self, command: Sequence[str], root: Path, screen: Path) -> ExitStatus:
        """Run it to its end, with `root` as its own work folder.

        The models that the user has downloaded (`mfa model download`) are seen from there, nothing else is.
        """
        root.mkdir(parents=True)
        models = user_root() / "pretrained_models"
        if models.is_dir():
            (root / "pretrained_models").symlink_to(models, target_is_directory=True)
        with screen.open("wb") as out:
            # A session of its own, so that its worker processes end with it.
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
            cause = f"ended by signal {-exit_code}" + (f" ({cause})" if cause else "")
        return ExitStatus(exit_code, cause or f"exit code {exit_code}")


def user_root() -> Path:
    """Where the program keeps the user's models: MFA_ROOT_DIR, or its default in the user's Documents."""
    return Path(os.environ.get("MFA_ROOT_DIR") or Path.home() / "Documents" / "MFA")


def _cause(screen: str) -> str:
    """The line of an output that names the error: what a box says, or the last line that looks like an error."""
    lines = [" ".join(_FRAME.sub(" ", line).split()) for line in screen.splitlines()]
    lines = [line for line in lines if line]
    errors = [place for place, line in enumerate(lines) if _ERROR.fullmatch(line) or "Error:" in line]
    if not errors:
        return lines[-1][:300] if lines else ""
    # A box names the kind of error on one line and the error itself on the next.
    return " ".join(lines[place] for place in errors[-2:])[:300]


SAMPLING_RATE = 16000


SHORTEST_SECONDS = 0.1


# Nobody speaks faster than this for a whole utterance: above it, this is why the program found no path.
MOST_WORDS_PER_SECOND = 9.0


_LINKED_FORMATS = ("WAV", "FLAC")


@dataclass(frozen=True)
class Item:
    """An utterance as it is handed over: under a name that is unique, as the program's analysis gives stems only."""

    utterance: Utterance
    tokens: list[str]
    duration: float
    speaker: str
    name: str


def write_item(utterance: Utterance, speaker: str, name: str, corpus: Path) -> Item | Failure:
    """Put an utterance into the program's corpus, or say why it cannot be.

    The audio is decoded to its end, as a single file that libsndfile cannot read ends the program's whole run. What is
    mono at 16 kHz already is linked; all else is written anew, as the program loses files at other rates.
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


def relink(items: Iterable[Item], corpus: Path, again: Path) -> None:
    """Make a corpus that links to some of the files of another."""
    for item in items:
        folder = again / item.speaker
        folder.mkdir(parents=True, exist_ok=True)
        for path in (corpus / item.speaker).glob(f"{item.name}.*"):
            (folder / path.name).symlink_to(path)


def too_fast(item: Item) -> bool:
    """Whether an utterance has more words than anyone says in its time."""
    return len(item.tokens) > MOST_WORDS_PER_SECOND * item.duration
