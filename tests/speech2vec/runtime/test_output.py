"""Outputs that exist are not overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest

from speech2vec.runtime.errors import UserError
from speech2vec.runtime.output import FolderContents, check_output, claim_output


def test_an_existing_output_is_not_overwritten(tmp_path: Path) -> None:
    folder, file = tmp_path / "folder", tmp_path / "file"
    for path, contents in ((folder, FolderContents(("a",))), (file, None)):
        claim_output(path, folder=contents)
    folder.mkdir()
    claim_output(folder, folder=FolderContents(("a",)))  # empty: nothing to lose
    (folder / "a").write_text("kept")
    file.write_text("kept")
    for path, contents in ((folder, FolderContents(("a",))), (file, None)):
        with pytest.raises(UserError, match="already exists; --force replaces it"):
            claim_output(path, folder=contents)
        with pytest.raises(UserError, match="already exists; --resume continues it, --force replaces it"):
            claim_output(path, resume=False, folder=contents)
        claim_output(path, resume=True, folder=contents)
    assert (folder / "a").read_text() == file.read_text() == "kept"
    with pytest.raises(UserError, match="use one of the two"):
        claim_output(folder, force=True, resume=True)
    for path, contents in ((folder, FolderContents(("a",))), (file, None)):
        claim_output(path, force=True, folder=contents)
        assert not path.exists()


@pytest.mark.parametrize("force", [False, True])
def test_a_file_does_not_replace_a_folder_nor_a_folder_a_file(tmp_path: Path, force: bool) -> None:
    folder, file = tmp_path / "folder", tmp_path / "file"
    folder.mkdir()
    with pytest.raises(UserError, match="folder is a folder, but -o/--output must be a file"):
        claim_output(folder, force=force)
    file.write_text("kept")
    with pytest.raises(UserError, match="file is a file, but -o/--output must be a folder"):
        claim_output(file, force=force, folder=FolderContents(("a",)))
    assert folder.exists() and file.read_text() == "kept"


def test_force_does_not_remove_the_folder_of_another_program(tmp_path: Path) -> None:
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    for name in ("precious", "deep/meta.json"):
        (tmp_path / "folder" / name).write_text("kept")
    with pytest.raises(UserError, match=r"not written by this command \(it contains no meta.json or parts\)"):
        claim_output(tmp_path / "folder", force=True, folder=FolderContents(("meta.json", "parts")))
    assert (tmp_path / "folder" / "precious").read_text() == "kept"
    claim_output(tmp_path / "folder", force=True, folder=FolderContents(("*.txt", "precious"), ("deep/*.json",)))
    assert not (tmp_path / "folder").exists()


@pytest.mark.parametrize("foreign", ["thesis.txt", "deep/thesis.txt", "deep/.hidden", "deep/deeper/b.json"])
def test_force_does_not_remove_a_folder_with_a_foreign_file(tmp_path: Path, foreign: str) -> None:
    contents = FolderContents(marks=("meta.json",), others=("deep/*.json",))
    leftover = "deep/.b.json.4321.tmp"
    for name in ("meta.json", "deep/b.json", leftover, foreign):
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_text("kept")
    with pytest.raises(UserError, match=f"folder contains {foreign}, which this command did not write, so --force"):
        claim_output(tmp_path / "folder", force=True, folder=contents)
    assert (tmp_path / "folder" / "meta.json").exists() and (tmp_path / "folder" / foreign).read_text() == "kept"
    (tmp_path / "folder" / foreign).unlink()
    claim_output(tmp_path / "folder", force=True, folder=contents)
    assert not (tmp_path / "folder").exists()


@pytest.mark.parametrize("output", [".", "in", "in/deep"])
def test_the_input_is_no_output(tmp_path: Path, output: str) -> None:
    given = tmp_path / "in" / "deep"
    given.mkdir(parents=True)
    with pytest.raises(UserError, match="is or contains the input"):
        claim_output(tmp_path / output, force=True, inputs=[None, given])
    with pytest.raises(UserError, match="is or contains the input"):
        check_output(tmp_path / output, force=True, inputs=[given])
    claim_output(given / "out", force=True, inputs=[given], folder=FolderContents(("a",)))
    assert given.exists()


def test_force_removes_a_link_and_not_what_it_points_at(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a").write_text("kept")
    (tmp_path / "link").symlink_to(tmp_path / "data")
    claim_output(tmp_path / "link", force=True, folder=FolderContents(("b",)))
    assert not (tmp_path / "link").exists()
    assert (tmp_path / "data" / "a").read_text() == "kept"


def test_an_output_whose_name_is_not_utf8(tmp_path: Path) -> None:
    for path in (tmp_path / "\udce9", tmp_path / "\udce9" / "run"):
        with pytest.raises(UserError, match="is not UTF-8: use another one"):
            check_output(path)
