"""`speech2vec doctor`: what is installed, what is missing, and what the missing parts are for."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import typer

from speech2vec.runtime.display import Table
from speech2vec.runtime.environment import VERSION, environment
from speech2vec.runtime.errors import DONE_WITH_FAILURES

# Package -> module. Each is imported: a library of another build, or one that the system lacks, shows only then.
_REQUIRED = {
    name: name for name in ("torch", "torchaudio", "numba", "librosa", "soundfile", "gensim", "pocketsphinx")
} | {"scikit-learn": "sklearn"}
# Packages of which one is enough, the extra that installs it, and what it is for.
_OPTIONAL = (
    (("espeakng-loader",), "demo", "the demo's synthesiser"),
    (("onnxruntime",), "onnx", "emotion classifiers as ONNX"),
    (("transformers", "faster-whisper"), "pretrained", "frames of pretrained encoders"),
    (("opensmile",), "opensmile", "openSMILE's features for emotion"),
)


class Finding(NamedTuple):
    """One part: is it there, what was found, and what to do if it is missing."""

    mark: str
    part: str
    found: str


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _is_there(part: str, found: str) -> Finding:
    return Finding("ok", part, found)


def machine() -> Iterator[Finding]:
    """Processor, memory, disk, GPU."""
    about = environment()
    yield _is_there("machine", f"{about['machine']}, {about['cores']} cores, Python {about['python']}")
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        yield _is_there("memory", f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB")
    for name, folder in (("disk, here", Path.cwd()), ("disk, TMPDIR", Path(tempfile.gettempdir()))):
        free = shutil.disk_usage(folder).free / 1e9
        yield Finding("ok" if free > 5 else "!", name, f"{free:.0f} GB free in {folder}")
    if find_spec("torch") is None:
        return  # named among the packages
    import torch  # takes seconds

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        yield _is_there("GPU", f"{', '.join(names)} (CUDA {torch.version.cuda})")
    else:
        build = f"torch is built for CUDA {torch.version.cuda}" if torch.version.cuda else "torch is a CPU build"
        yield Finding("-", "GPU", f"none that torch can use ({build}); everything runs on the CPU")


def packages() -> Iterator[Finding]:
    """What the programs need, and what extras add."""
    for package, module in _REQUIRED.items():
        try:
            import_module(module)
        except Exception as error:  # whatever a broken library raises is what is to be said of it
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            yield Finding("MISSING", package, f"{reason[:150]}: install again (docs/install.md)")
        else:
            yield _is_there(package, _version(package) or "version unknown")
    for names, extra, purpose in _OPTIONAL:
        versions = [f"{name} {_version(name)}" for name in names if _version(name)]
        missing = f"not installed; for {purpose}: pip install 'speech2vec-emotion[{extra}]'"
        yield Finding("ok" if versions else "-", f"extra {extra}", ", ".join(versions) or missing)


def others() -> Iterator[Finding]:
    """Programs, weights and test data."""
    mfa = shutil.which("mfa")
    yield Finding("ok" if mfa else "-", "mfa", mfa or "not on PATH; for --aligner mfa: docs/install-mfa.md")
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    missing = "no Chromium on PATH; only tests of the report need it"
    yield Finding("ok" if browser else "-", "browser", browser or missing)
    hub = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface") / "hub"
    models = sorted(path.name.removeprefix("models--").replace("--", "/") for path in hub.glob("models--*"))
    shown = f"{', '.join(models[:4])}{f' and {len(models) - 4} more' if len(models) > 4 else ''} in {hub}"
    yield Finding("ok" if models else "-", "weights", shown if models else f"no pretrained encoder in {hub}")
    data = os.environ.get("SPEECH2VEC_TEST_DATA")
    missing = "SPEECH2VEC_TEST_DATA is not set; only tests on real speech need it"
    if data and not Path(data).is_dir():
        yield Finding("!", "test data", f"SPEECH2VEC_TEST_DATA={data} is not a folder")
    else:
        yield Finding("ok" if data else "-", "test data", data or missing)


def doctor() -> None:
    """Say what is installed and what is missing, in one screen."""
    found = [*machine(), *packages(), *others()]
    print(Table([["", "part", "found"], *found], f"speech2vec {VERSION}", align="left").text())
    missing = [finding.part for finding in found if finding.mark == "MISSING"]
    print(f"\n{'missing: ' + ', '.join(missing) if missing else 'all that the programs need is there'}")
    if missing:
        raise typer.Exit(DONE_WITH_FAILURES)
