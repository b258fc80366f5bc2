"""Run programs one after the other, as in a terminal: each command is printed before it starts, and can be copied."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from speech2vec.runtime.errors import DONE, DONE_WITH_FAILURES, USER_ERROR, UserError

NAMES = ("speech2vec", "speech2vec-align", "speech2vec-emotion")


@dataclass
class Chain:
    """Runs commands one after the other, and keeps their output.

    Parameters
    ----------
    folder : Path
        Where the commands write; named if one of them fails.
    started : float
    printed : dict of str to str
        Standard output of each command, by title.
    """

    folder: Path
    started: float = field(default_factory=time.monotonic)
    printed: dict[str, str] = field(default_factory=dict)

    def run(self, title: str, *command: str | Path, optional: bool = False) -> str:
        """Print and run one command; return its standard output, which is also printed.

        Parameters
        ----------
        title : str
        command : str or Path
            A string is split at blanks, a path is one argument.
        optional : bool
            Whether later commands do not need it, such as a measure for which a corpus may be too small.

        Raises
        ------
        UserError
            If the exit code is neither 0 nor 1 (done, with failures listed), nor 2 (the input is at fault) for an
            optional command.
        """
        words = [word for part in command for word in (part.split() if isinstance(part, str) else [str(part)])]
        minutes, seconds = divmod(round(time.monotonic() - self.started), 60)
        print(f"\n[{minutes}:{seconds:02d}] {title}\n$ {shlex.join(words)}", flush=True)
        code, self.printed[title] = start(words)
        if optional and code == USER_ERROR:
            print("  (skipped)", flush=True)
        elif code not in (DONE, DONE_WITH_FAILURES):
            raise UserError(
                f"stopped at '{shlex.join(words)}' (code {code}); "
                f"repeat the call to continue from here, or remove {self.folder} to start again"
            )
        return self.printed[title]


def start(words: list[str]) -> tuple[int, str]:
    """Run a command in a process of its own, with its output printed: its exit code and standard output."""
    # Recurrent networks run in many small steps, in which threads wait for each other (20 times slower on a busy
    # machine); programs that use several processes need no threads.
    environment = {"OMP_NUM_THREADS": "1", **os.environ}
    lines = []
    with subprocess.Popen(
        program(words), stdout=subprocess.PIPE, text=True, encoding="utf-8", env=environment
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(f"  {line}", end="", flush=True)
            lines.append(line)
    return process.returncode, "".join(lines)


def program(words: list[str]) -> list[str]:
    """The command with the programs of this Python environment, whether it is activated or not."""
    if words[0] in NAMES:
        return [str(Path(sys.executable).with_name(words[0])), *words[1:]]
    return [sys.executable, *words[1:]] if words[0] == "python" else words
