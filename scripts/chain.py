"""Programs run one after the other as a person would: each command is shown as it starts, so that it can be copied."""

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
    """Runs commands one after the other and keeps what they print."""

    folder: Path
    started: float = field(default_factory=time.monotonic)
    printed: dict[str, str] = field(default_factory=dict)

    def run(self, title: str, *command: str | Path, optional: bool = False) -> str:
        """Run one command, shown and timed; its standard output is printed and returned.

        Parameters
        ----------
        title : str
        command : str or Path
            A string is split at its blanks into words, a path is one word.
        optional : bool
            Whether the others can do without it: a measure for which a corpus may be too small.

        Raises
        ------
        UserError
            If it ends with a code other than 0 or 1 (done, with failures listed); if `optional`, other than 2 too (the
            program has said why it cannot be done).
        """
        words = [word for part in command for word in (part.split() if isinstance(part, str) else [str(part)])]
        minutes, seconds = divmod(round(time.monotonic() - self.started), 60)
        print(f"\n[{minutes}:{seconds:02d}] {title}\n$ {shlex.join(words)}", flush=True)
        # A recurrent network is many small steps: threads that wait for each other slow it down (20 times on a busy
        # machine), and what runs in several processes needs no threads besides.
        environment = {"OMP_NUM_THREADS": "1", **os.environ}
        with subprocess.Popen(
            program(words), stdout=subprocess.PIPE, text=True, encoding="utf-8", env=environment
        ) as process:
            assert process.stdout is not None
            lines = []
            for line in process.stdout:
                print(f"  {line}", end="", flush=True)
                lines.append(line)
        if optional and process.returncode == USER_ERROR:
            print("  (left out)", flush=True)
        elif process.returncode not in (DONE, DONE_WITH_FAILURES):
            raise UserError(
                f"stopped at '{shlex.join(words)}' (code {process.returncode}); "
                f"the same call goes on from here, and starts anew if {self.folder} is removed"
            )
        self.printed[title] = "".join(lines)
        return self.printed[title]


def program(words: list[str]) -> list[str]:
    """The command as it is started: the programs of this environment, whether it is active or not."""
    if words[0] in NAMES:
        return [str(Path(sys.executable).with_name(words[0])), *words[1:]]
    return [sys.executable, *words[1:]] if words[0] == "python" else words
