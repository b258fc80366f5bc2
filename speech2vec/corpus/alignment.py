"""Words in time from the program ``speech2vec-align``, started as a process: its package is never imported here."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from speech2vec.corpus.manifest import REPORT_FILE
from speech2vec.runtime.errors import DONE, DONE_WITH_FAILURES, UserError
from speech2vec.runtime.files import read_json
from speech2vec.runtime.progress import log

PROGRAM = "speech2vec-align"


_ERROR = "error: "  # how its last line begins if it stops


def run_aligner(
    corpus: Path, aligned: Path, aligner: str = "pocketsphinx", *, jobs: int = 1, quiet: bool = True
) -> dict[str, Any]:
    """Run ``speech2vec-align run CORPUS -o ALIGNED``; an interrupted alignment of the same corpus is resumed.

    Parameters
    ----------
    corpus : Path
        A folder of recordings with transcripts, or an ``utterances.jsonl``.
    aligned : Path
        The ALIGNED folder to write.
    aligner : str
        As ``--aligner`` of the program.
    jobs : int
        Processes.
    quiet : bool
        False passes its messages on to the log.

    Returns
    -------
    dict
        The report (``report.json``); its "words" is 0 if no utterance could be aligned.

    Raises
    ------
    UserError
        If the program is not installed, or stopped before it had aligned the corpus.
    """
    program = shutil.which(PROGRAM, path=str(Path(sys.executable).parent)) or shutil.which(PROGRAM)
    if program is None:
        raise UserError(f"the program {PROGRAM} is not installed beside {sys.executable}")
    options = ["--aligner", aligner, "--jobs", str(jobs), "--resume", *(["--quiet"] if quiet else [])]
    command = [program, "run", str(corpus), "-o", str(aligned), *options]
    said: list[str] = []
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, encoding="utf-8", errors="replace"
    ) as process:
        assert process.stderr is not None
        try:
            for line in map(str.rstrip, process.stderr):
                said.append(line)
                if not quiet and not line.startswith(_ERROR):
                    log.info("%s", line)
        except BaseException:
            process.terminate()
            raise
    report = read_json(aligned / REPORT_FILE) if (aligned / REPORT_FILE).exists() else None
    # Code 2 is either bad input (no report) or a report in which every utterance failed.
    if report is None or (process.returncode not in (DONE, DONE_WITH_FAILURES) and report["words"]):
        reason = said[-1].removeprefix(_ERROR) if said else "it gave no reason"
        raise UserError(f"{PROGRAM} stopped with code {process.returncode}: {reason}")
    return dict(report)
