"""Which room may import which, that no imports go in a circle, and what an import may do besides."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from .house import PACKAGES, ROOT, TOP, files, imports, module_name, named, package_modules, parsed

ARROWS: dict[str, set[tuple[str, ...]]] = {
    "uso_model": {("uso_model",)},
    "trainer": {("trainer",), ("uso_model",)},
    "mini": {("mini",), ("trainer",), ("uso_model",)},
    "nodes": {
        ("nodes",),
        ("trainer",),
        ("mini", "model"),
        ("mini", "judges"),
        ("mini", "example_pictures"),
        ("uso_model",),
    },
}
"""Room to the rooms that it may import."""
TOP_MAY_IMPORT = {"__init__.py": {("nodes",)}, "__main__.py": {("cli",)}, "cli.py": {("mini",), ("trainer",)}}
HOST = {"comfy", "comfy_api", "comfy_execution", "comfy_extras", "execution", "folder_paths", "server"}
USO_MODEL_NEEDS = {"torch", "einops", "safetensors", "transformers", "numpy", "PIL"}
USO_MODEL_MAY_ASK_FOR = {"open_clip"}
"""Packages that only a function imports, because ComfyUI does not have them."""
STANDS_IN = {"trainer/launcher/from_folder.py"}
"""Scripts that register this folder as the package where it is not installed."""
STAND_IN = 'raise RuntimeError("ComfyUI was imported where it has no business")\n'


@pytest.mark.parametrize("room", [*ARROWS, *TOP_MAY_IMPORT])
def test_imports_go_one_way(room: str) -> None:
    wrong = []
    for path in files(".py", under=room) if room in ARROWS else [ROOT / room]:
        for name, relative, line, at_import in imports(path):
            if relative:
                own = ARROWS[room] if room in ARROWS else TOP_MAY_IMPORT[room]
                allowed = any(name[: len(target)] == target for target in own)
            elif room == "uso_model":
                allowed = name[0] in USO_MODEL_NEEDS | sys.stdlib_module_names
                allowed = allowed or (name[0] in USO_MODEL_MAY_ASK_FOR and not at_import)
            else:
                # `nodes` is this package's name and the host's: nobody can tell which one is meant.
                allowed = name[0] not in {"comfyui_uso", *PACKAGES} and (room == "nodes" or name[0] not in HOST)
            if not allowed:
                wrong.append(f"{named(path)}:{line} imports {'.'.join(name)}")
    assert not wrong, "\n".join(wrong)


def graph() -> dict[tuple[str, ...], dict[tuple[str, ...], int]]:
    """Return for every module the modules that it cannot be imported without, and the line that imports each."""
    modules = package_modules()
    edges: dict[tuple[str, ...], dict[tuple[str, ...], int]] = {}
    for name, path in modules.items():
        edges[name] = {}
        for target, relative, line, at_import in imports(path):
            if not (relative and at_import):
                continue
            # `from .a import b` imports the module a.b where there is one, and the name b of a where there is none.
            module = target if target in modules else target[:-1]
            assert module in modules, f"{named(path)}:{line} imports {'.'.join(target)}, which is not there"
            if module != name[: len(module)]:  # a package that holds the module has begun before
                edges[name].setdefault(module, line)
    return edges


def test_no_imports_go_in_a_circle() -> None:
    edges, finished = graph(), set()

    def follow(name: tuple[str, ...], chain: list[tuple[str, ...]]) -> None:
        if name in chain:
            circle = [*chain[chain.index(name) :], name]
            steps = [f"{'.'.join(a)} (line {edges[a][b]})" for a, b in pairwise(circle)]
            raise AssertionError(f"imports go in a circle: {' -> '.join(steps)} -> {'.'.join(name)}")
        if name not in finished:
            for other in edges[name]:
                follow(other, [*chain, name])
            finished.add(name)

    for name in edges:
        follow(name, [])
    assert len(edges) > 100 and sum(map(len, edges.values())) > 300, "the search found hardly any import"


def test_the_trainer_does_not_know_the_miniature() -> None:
    found = [
        f"{named(path)}:{number}: {line.strip()}"
        for path in files(".py", under="trainer")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if "mini" in line.lower()
    ]
    assert not found, "\n".join(found)


def test_nothing_imports_dev_or_the_benchmarks() -> None:
    for path in [*package_modules().values(), *files(".py", under="benchmarks")]:
        wrong = [".".join(name) for name, *_ in imports(path) if {"dev", "benchmarks"} & set(name)]
        assert not wrong, f"{named(path)} imports {wrong}"
    assert not files(".py", under="dev")


def test_no_module_edits_the_import_system_or_uses_globals() -> None:
    wrong = []
    for path in [*package_modules().values(), *files(".py", under="benchmarks")]:
        for node in ast.walk(parsed(path)):
            if (
                isinstance(node, ast.Attribute)
                and node.attr in {"path", "modules", "meta_path"}
                and isinstance(node.value, ast.Name)
                and node.value.id == "sys"
                and named(path) not in STANDS_IN
            ):
                wrong.append(f"{named(path)}:{node.lineno} touches sys.{node.attr}")
            elif isinstance(node, ast.Global):
                wrong.append(f"{named(path)}:{node.lineno} says global")
    assert not wrong, "\n".join(wrong)


def test_the_global_generator_is_seeded_in_one_place() -> None:
    found = {
        named(path)
        for path in package_modules().values()
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Attribute)
        and ast.unparse(node) in ("torch.manual_seed", "random.seed", "np.random.seed", "numpy.random.seed")
    }
    assert found == {"trainer/engine/randomness.py"}


@pytest.fixture
def elsewhere(tmp_path: Path) -> dict[str, str]:
    """Return an environment in which `comfyui_uso` is this checkout, wherever a command is run."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site/comfyui_uso").symlink_to(ROOT, target_is_directory=True)
    return {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "PYTHONDONTWRITEBYTECODE": "1"}


def test_import_without_comfyui_has_no_effects(tmp_path: Path, elsewhere: dict[str, str]) -> None:
    """Every module but the nodes imports in a fresh interpreter without leaving a trace."""
    names = [module_name(path) for path in package_modules().values() if path.name != "__main__.py"]
    modules = [".".join(("comfyui_uso", *name)) for name in names if name[:1] != ("nodes",)]
    command = [sys.executable, str(ROOT / "tests/import_probe.py"), *modules]
    (tmp_path / "empty").mkdir()
    done = subprocess.run(
        command, cwd=tmp_path / "empty", env=elsewhere, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert json.loads(done.stderr.splitlines()[-1]) == []
    assert list((tmp_path / "empty").iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("-c", "import comfyui_uso; assert comfyui_uso.WEB_DIRECTORY"),
        ("-m", "comfyui_uso", "--help"),
        ("-m", "comfyui_uso.trainer", "--help"),
        ("-m", "accelerate.commands.accelerate_cli", "launch", "--cpu", "-m", "comfyui_uso.trainer", "train", "--help"),
    ],
    ids=["import", "python -m", "python -m trainer", "accelerate launch"],
)
def test_nothing_imports_comfyui_in_its_own_folder(
    arguments: tuple[str, ...], tmp_path: Path, elsewhere: dict[str, str]
) -> None:
    """`-m` and `-c` put the working folder on the path, so ComfyUI's packages can be found there."""
    folder = tmp_path / "ComfyUI"
    for package in HOST:
        (folder / package).mkdir(parents=True)
        (folder / package / "__init__.py").write_text(STAND_IN, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=elsewhere,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Error" not in done.stderr, done.stderr


def test_cli_help_needs_neither_torch_nor_training_packages(elsewhere: dict[str, str]) -> None:
    probe = (
        "import sys; from comfyui_uso import cli; cli.build_parser().format_help();"
        "sys.exit(','.join({'torch', 'peft', 'accelerate', 'transformers', 'pydantic'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", probe]
    done = subprocess.run(command, env=elsewhere, capture_output=True, text=True, timeout=300, check=False)
    assert done.stderr.strip() == "", done.stderr


def test_top_level_modules_are_known() -> None:
    assert {path.name for path in ROOT.glob("*.py")} == set(TOP)
