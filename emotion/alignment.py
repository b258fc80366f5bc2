"""Words in time, by starting the program ``speech2vec-align``: its package is never imported here."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from speech2vec.console import DONE, DONE_WITH_FAILURES, log
from speech2vec.errors import UserError
from speech2vec.files import read_json
from speech2vec.manifest import REPORT_FILE, UTTERANCES_FILE, Utterance, write_utterances

PROGRAM = "speech2vec-align"


def align_words(utterances: Sequence[Utterance], folder: Path) -> Path | None:
    """Align utterances with their texts.

    Parameters
    ----------
    utterances : sequence of Utterance
    folder : Path
        Where an ``utterances.jsonl`` and what the program makes of it are written.

    Returns
    -------
    Path or None
        The ALIGNED folder; None where no utterance could be aligned. Those that could not are named in the log.

    Raises
    ------
    UserError
        The program is not installed, or stopped without a report.
    """
    program = shutil.which(PROGRAM, path=str(Path(sys.executable).parent)) or shutil.which(PROGRAM)
    if program is None:
        raise UserError(f"the program {PROGRAM} is not installed beside {sys.executable}")
    asked, aligned = folder / UTTERANCES_FILE, folder / "aligned"
    write_utterances(asked, (replace(u, audio=u.audio.absolute()) for u in utterances))
    done = subprocess.run(
        [program, "run", str(asked), "-o", str(aligned), "--jobs", "1", "--quiet"],
        capture_output=True, text=True, encoding="utf-8", errors="replace", check=False,
    )  # fmt: skip
    if not (aligned / REPORT_FILE).exists():
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise UserError(f"{PROGRAM} stopped with code {done.returncode}: {said}")
    report = read_json(aligned / REPORT_FILE)
    for failure in report["failed"]:
        log.warning("%s: no words in time (%s: %s)", failure["utterance_id"], failure["reason"], failure["detail"])
    return aligned if done.returncode in (DONE, DONE_WITH_FAILURES) and report["words"] else None
