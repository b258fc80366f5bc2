"""docs/python.md runs from its first block to its last, on a small corpus that a synthesiser speaks."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

ROOT = Path(__file__).resolve().parents[2]
WORDS = 300


def blocks() -> list[str]:
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)


def make(folder: Path, module: str, *options: object) -> None:
    command = [sys.executable, "-m", module, *map(str, options), "--quiet"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    assert folder.is_dir()


@pytest.mark.slow
def test_the_code_on_the_page_runs(tmp_path: Path) -> None:
    pytest.importorskip("espeakng_loader", reason="the synthesiser of the demo is not installed")
    make(tmp_path / "made", "scripts.make_synthetic_corpus", "-o", tmp_path / "made", "--max-words", WORDS)
    (tmp_path / "corpus").symlink_to(tmp_path / "made" / "synthetic")
    make(tmp_path / "iemocap", "scripts.make_synthetic_emotion", "-o", tmp_path / "iemocap", "--turns", 4)
    first = sorted((tmp_path / "corpus").rglob("*.flac"))[0]
    samples, rate = sf.read(first)
    sf.write(tmp_path / "new.wav", samples, rate)
    code = blocks()
    assert len(code) >= 6
    script = "\n".join(
        ["if __name__ == '__main__':", *("    " + line for block in code for line in block.splitlines())]
    )
    (tmp_path / "page.py").write_text(script + "\n", encoding="utf-8")
    environment = {
        "PYTHONPATH": str(ROOT),
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "HOME": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "page.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for told in ("held-out loss", "same-different average precision", "UA"):
        assert told in done.stdout
    assert (tmp_path / "report.html").stat().st_size > 10_000
    assert np.isfinite(np.loadtxt(tmp_path / "vectors.txt", skiprows=1, usecols=range(1, 5))).all()
