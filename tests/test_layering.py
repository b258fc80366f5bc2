"""The house stands: no import points up, from package to package or from floor to floor, none goes in a circle, and
the ground floor knows nothing of torch.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
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
# Floors of speech2vec, from the bottom: imports go down or stay on their floor. A package stands for all in it.
FLOORS = {
    "ground": "audio config console corpora environment errors files locks manifest processes seeds transcripts",
    "first": "archives datasets devices downloads extraction extraction_parts extraction_plan mfcc pronunciations "
    "ragged skipgram store vocabulary",
    "recurrence": "recurrence",
    "second": "attention batches checkpoint decoder distributed encoder encoding epoch_end held_out loaded_run "
    "model presets progress run_folder step trainer",
    "third": "average_precision baselines benchmarks charts comparison controls data discrimination dtw estimates "
    "evaluation findings homophones instance_pairs instances measures monitoring phonetic_or_semantic "
    "pictures published report report_charts report_text similarity templates variability vectors "
    "word2vec_format word_pairs",
    "roof": "__main__ cli commands",
}
GROUND_FLOOR = {f"speech2vec.{name}" for name in FLOORS["ground"].split()}
# Facts about words that both the aligners and the homophone check need, and the one choice of a device.
SHARED_WITH_ALIGN = GROUND_FLOOR | {"speech2vec", "speech2vec.pronunciations", "speech2vec.devices"}
HEAVY = {"torch", "torchaudio", "gensim", "sklearn", "matplotlib", "pocketsphinx", "librosa"}


def modules() -> dict[str, Path]:
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(module: str, path: Path, everywhere: bool = True) -> Iterator[str]:
    """Full names of the modules that a file imports; inside functions too, if `everywhere`, but not for types only."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    skip: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test) and not everywhere:
            skip.update(inner for child in node.body for inner in ast.walk(child))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not everywhere:
            skip.update(inner for inner in ast.walk(node) if inner is not node)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if node in skip:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")
                above = above[: len(above) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            for alias in node.names:
                yield f"{base}.{alias.name}" if f"{base}.{alias.name}" in MODULES else base


def ours(module: str, everywhere: bool = True) -> set[str]:
    names = set(imports(module, MODULES[module], everywhere))
    return {name for name in names if name.split(".")[0] in PACKAGES} - {module}


def test_there_is_something_to_check() -> None:
    assert len(MODULES) > 40
    assert MODULES.keys() >= GROUND_FLOOR
    assert "speech2vec.manifest" in ours("speech2vec.store")


@pytest.mark.parametrize("package", PACKAGES)
def test_no_arrow_points_up(package: str) -> None:
    wrong = [
        f"{module} imports {name}"
        for module in MODULES
        if module.split(".")[0] == package
        for name in ours(module)
        if name.split(".")[0] not in MAY_IMPORT[package]
    ]
    assert not wrong


def test_align_stands_on_the_ground_floor_only() -> None:
    wrong = [
        f"{module} imports {name}"
        for module in MODULES
        if module.split(".")[0] == "align"
        for name in ours(module)
        if name.split(".")[0] == "speech2vec" and name not in SHARED_WITH_ALIGN
    ]
    assert not wrong


def test_the_ground_floor_knows_nothing_above_it() -> None:
    for module in GROUND_FLOOR:
        names = set(imports(module, MODULES[module]))
        assert not {name for name in names if name.split(".")[0] in HEAVY}, module
        assert ours(module) <= GROUND_FLOOR | {"speech2vec"}, module


def floors_of(module: str) -> list[str]:
    """The floors whose list holds a module of speech2vec, or the package that it is in; one, if all is well."""
    room = module.split(".")[1]
    return [floor for floor, rooms in FLOORS.items() for name in rooms.split() if name == room]


def test_every_module_is_on_one_floor() -> None:
    inside = [module for module in MODULES if module.startswith("speech2vec.")]
    assert {module: floors_of(module) for module in inside if len(floors_of(module)) != 1} == {}
    rooms = {module.split(".")[1] for module in inside}
    assert [name for names in FLOORS.values() for name in names.split() if name not in rooms] == []


def test_imports_go_down_or_stay_on_their_floor() -> None:
    height = {floor: i for i, floor in enumerate(FLOORS)}
    wrong = [
        f"{module} ({here}) imports {name} ({there})"
        for module in MODULES
        if module.startswith("speech2vec.")
        for name in ours(module)
        if name.startswith("speech2vec.")
        for here in floors_of(module)
        for there in floors_of(name)
        if height[there] > height[here]
    ]
    assert not wrong


def test_the_page_names_every_module_on_its_floor() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (\w+) \| (.*?) \|", page.partition("## Floors")[2], flags=re.MULTILINE))
    named = {floor: set(re.findall(r"`(\w+)/?`", rows.get(floor, ""))) for floor in FLOORS}
    # What is in `commands` is one file for each command or two: the page names the package.
    expected = {
        floor: {
            module.split(".")[-1]
            for module in MODULES
            if module.startswith("speech2vec.")
            and floor in floors_of(module)
            and not module.startswith("speech2vec.commands.")
        }
        for floor in FLOORS
    }
    assert named == expected


def test_commands_are_imported_by_the_command_line_only() -> None:
    wrong = [
        f"{module} imports {name}"
        for module in MODULES
        for name in ours(module)
        if ".commands." in name and not (module.endswith(".cli") or ".commands" in module)
    ]
    assert not wrong


def test_no_module_goes_in_a_circle() -> None:
    # Inside functions too: an import hidden in a function is how a circle hides.
    graph = {module: ours(module) & MODULES.keys() for module in MODULES}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_no_package_holds_a_room_for_everything() -> None:
    assert not [module for module in MODULES if module.split(".")[-1] in {"utils", "util", "common", "helpers", "misc"}]
