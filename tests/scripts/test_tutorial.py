"""docs/tutorial.ipynb runs from its first cell to its last, and shows what it stores."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "docs" / "tutorial.ipynb"
SMALLER = {
    '"--max-words", "3000", "--emotional-sentences", "120"': '"--max-words", "900", "--emotional-sentences", "20"',
    '"--turns", "16"': '"--turns", "8"',
}


@pytest.mark.slow
def test_the_tutorial_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("espeakng_loader", reason="the synthesiser of the demo is not installed")
    nbformat = pytest.importorskip("nbformat", reason="nbformat, nbclient and ipykernel run notebooks")
    nbclient = pytest.importorskip("nbclient", reason="nbformat, nbclient and ipykernel run notebooks")
    pytest.importorskip("ipykernel", reason="nbformat, nbclient and ipykernel run notebooks")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    notebook = nbformat.read(NOTEBOOK, 4)
    stored = [len(cell.get("outputs", ())) for cell in notebook.cells]
    for whole, smaller in SMALLER.items():  # the same cells on less speech
        holding = [cell for cell in notebook.cells if cell.cell_type == "code" and whole in cell.source]
        assert len(holding) == 1
        holding[0].source = holding[0].source.replace(whole, smaller)
    where = {"metadata": {"path": str(NOTEBOOK.parent)}}
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=where).execute()
    assert [len(cell.get("outputs", ())) > 0 for cell in notebook.cells] == [n > 0 for n in stored]
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    printed = "".join(output.get("text", "") for output in outputs)
    for told in ("same-different average precision", "SYNTHETIC", "UA", "acoustic"):
        assert told in printed
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2


def test_it_is_small_and_names_no_folder_of_whoever_ran_it() -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert len(text) < 400_000
    assert not re.search(r"/(home|root|tmp)/", text)
