"""What a result depends on besides its settings: the machine, Python and the versions of the libraries."""

from __future__ import annotations

import platform
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from speech2vec.runtime.processes import count_jobs

VERSION = "0.1.0"

REPORTED_PACKAGES = (
    "speech2vec-emotion",
    "torch",
    "torchaudio",
    "numpy",
    "scipy",
    "librosa",
    "soundfile",
    "pocketsphinx",
    "gensim",
    "scikit-learn",
)


def environment() -> dict[str, Any]:
    """The machine, Python, the versions of the libraries and the command line, for ``environment.json``."""
    versions: dict[str, str | None] = {}
    for name in REPORTED_PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": machine_name(),
        "cores": count_jobs(0),
        "packages": versions,
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
    }


def machine_name() -> str:
    """The model name of the processor."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
