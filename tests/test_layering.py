"""The house stands: folders import only folders below them, nothing goes in a circle, and no package reaches into one
that it may not.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("speech2vec", "align", "emotion", "scripts")
MAY_IMPORT = {
    "speech2vec": {"speech2vec"},
    "align": {"align", "speech2vec"},
    "emotion": {"emotion", "speech2vec"},
    "scripts": set(PACKAGES),
}
# From the bottom up; a module that lies in the package itself has a place too.
ORDER = {
    "speech2vec": "runtime corpus features model training vectors evaluation reporting api cli __main__",
    "align": "formats pronunciation base matching plausibility journal targets aligned aligners results runner checker "
    "comparison histogram importing exporting api cli __main__",
    "emotion": "settings metrics features corpora data models classifiers training prediction evaluation "
    "reporting api cli __main__",
}
FROM_ALIGN = {"runtime", "corpus"}  # the folders of speech2vec that aligners stand on
LIGHT = {"runtime", "corpus"}  # import no torch, nor another heavy library,
NOT_LIGHT = "speech2vec.runtime.devices"  # but for the choice of a device; so no module of theirs may import that
HEAVY = {"torch", "torchaudio", "gensim", "sklearn", "matplotlib", "pocketsphinx", "librosa"}
MOST_MODULES, LONGEST = 16, 350


def modules() -> dict[str, Path]:
    found = {}
    for package in PACKAGES:
        folder = Path(import_module(package).__path__[0])  # of the checkout, or as installed
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder.parent).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(module: str, path: Path) -> Iterator[str]:
    """Full names of the modules that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: a relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else str(node.module)


def ours(module: str) -> set[str]:
    names = set(imports(module, MODULES[module]))
    return {name for name in names if name.split(".")[0] in PACKAGES} - {module}


def room(module: str) -> str:
    """The folder of a package that a module lies in, or the module itself where it lies in none."""
    return module.split(".")[1] if "." in module else ""


def test_there_is_something_to_check() -> None:
    assert len(MODULES) > 100
    assert "speech2vec.corpus.manifest" in ours("speech2vec.features.store") | ours("speech2vec.features.extraction")


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_only_what_they_may(package: str) -> None:
    assert not [
        f"{module} imports {name}"
        for module in MODULES
        if module.split(".")[0] == package
        for name in ours(module)
        if name.split(".")[0] not in MAY_IMPORT[package]
        or (package == "align" and name.split(".")[0] == "speech2vec" and room(name) not in FROM_ALIGN | {""})
    ]


@pytest.mark.parametrize("package", ORDER)
def test_folders_import_only_folders_below_them(package: str) -> None:
    height = {name: i for i, name in enumerate(ORDER[package].split())}
    inside = [module for module in MODULES if module.startswith(f"{package}.")]
    assert {room(module) for module in inside} == height.keys()
    assert not [
        f"{module} imports {name}"
        for module in inside
        for name in ours(module)
        if name.startswith(f"{package}.") and height[room(name)] > height[room(module)]
    ]


def test_the_lowest_folders_import_nothing_heavy() -> None:
    light = [m for m in MODULES if m.startswith("speech2vec.") and room(m) in LIGHT and m != NOT_LIGHT]
    assert not [
        f"{module} imports {name}"
        for module in light
        for name in imports(module, MODULES[module])
        if name.split(".")[0] in HEAVY or name == NOT_LIGHT
    ]


def test_the_lowest_folders_load_nothing_heavy() -> None:
    light = [m for m in MODULES if m.startswith("speech2vec.") and room(m) in LIGHT and m != NOT_LIGHT]
    program = f"import sys, {', '.join(light)}; print({HEAVY} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_only_command_lines_import_the_command_line_library() -> None:
    terminal = {"speech2vec.runtime.console", "speech2vec.runtime.command_group"}
    assert not [
        f"{module} imports {name}"
        for module, path in MODULES.items()
        if not module.startswith("scripts.") and room(module) != "cli" and module not in terminal
        for name in imports(module, path)
        if name in {"typer", "click", *terminal}
    ]


def test_no_module_goes_in_a_circle() -> None:
    # Inside functions too: an import hidden in a function is how a circle hides.
    graph = {module: ours(module) & MODULES.keys() for module in MODULES}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_folders_and_modules_are_of_a_size_to_read() -> None:
    folders: dict[Path, int] = {}
    for path in MODULES.values():
        if path.name != "__init__.py":
            folders[path.parent] = folders.get(path.parent, 0) + 1
    assert {str(folder): n for folder, n in folders.items() if n > MOST_MODULES} == {}
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in MODULES.items()}
    assert {name: n for name, n in lengths.items() if n > LONGEST} == {}


def test_no_package_holds_a_room_for_everything() -> None:
    assert not [module for module in MODULES if module.split(".")[-1] in {"utils", "util", "common", "helpers", "misc"}]
