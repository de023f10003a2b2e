"""The rules of the house that a machine can check: imports, file lengths, words, documentation."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
LAYERS = {
    "uso_model": {"uso_model"},
    "trainer": {"trainer", "uso_model"},
    "nodes": {"nodes", "trainer", "uso_model"},
}
OWN = {"comfyui_uso", *LAYERS}
HOST = {"comfy", "comfy_api", "comfy_execution", "comfy_extras", "execution", "folder_paths", "server"}
USO_MODEL_NEEDS = {"torch", "einops", "safetensors", "transformers", "numpy", "PIL"}
SKIPPED = {".venv", ".git", ".hypothesis", "out", "build", "dist", "node_modules"}
MACHINE_PATHS = re.compile(r"(?<![A-Za-z0-9_.-])/(work|root|farm|tmp|home)/")
SKIPPED_ENDINGS = (".egg-info", "__pycache__", "_cache")
LONGEST_FILE = 400


def files(*suffixes: str, under: str = ".") -> list[Path]:
    """List the project's files with one of these suffixes, leaving out environments, caches and outputs."""
    found = []
    for folder, folders, names in os.walk(ROOT / under):
        folders[:] = [name for name in folders if name not in SKIPPED and not name.endswith(SKIPPED_ENDINGS)]
        found += [Path(folder, name) for name in names if Path(name).suffix in suffixes]
    return sorted(found)


def package_modules() -> list[Path]:
    """List the modules that get installed."""
    return [ROOT / "__init__.py", *(path for layer in LAYERS for path in files(".py", under=layer))]


def named(path: Path) -> str:
    """Name a file by its place in the repository."""
    return path.relative_to(ROOT).as_posix()


def imports(path: Path) -> Iterator[tuple[tuple[str, ...], bool, int]]:
    """Yield every import of a module: name in parts (from the root if relative), whether relative, line."""
    folder = path.relative_to(ROOT).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((tuple(alias.name.split(".")), False, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            name = tuple(node.module.split(".")) if node.module else ()
            if node.level == 0:
                yield name, False, node.lineno
                continue
            assert node.level <= len(folder) + 1, f"{named(path)}:{node.lineno} imports from above the package"
            base = folder[: len(folder) - node.level + 1] + name
            # `from . import a, b` names modules in its second half.
            yield from ((base or (alias.name,), True, node.lineno) for alias in node.names)


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_go_one_way(layer: str) -> None:
    wrong = []
    for path in files(".py", under=layer):
        for name, relative, line in imports(path):
            if relative:
                allowed = name[0] in LAYERS[layer]
            elif layer == "uso_model":
                allowed = name[0] in USO_MODEL_NEEDS | sys.stdlib_module_names
            else:
                # `nodes` is this package's name and the host's: nobody can tell which one is meant.
                allowed = name[0] not in OWN and (layer == "nodes" or name[0] not in HOST)
            if not allowed:
                wrong.append(f"{named(path)}:{line} imports {'.'.join(name)}")
    assert not wrong, "\n".join(wrong)


def test_no_module_edits_the_import_system() -> None:
    wrong = []
    for path in package_modules() + files(".py", under="benchmarks"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Attribute)
                and node.attr in {"path", "modules", "meta_path"}
                and isinstance(node.value, ast.Name)
                and node.value.id == "sys"
            ):
                wrong.append(f"{named(path)}:{node.lineno} touches sys.{node.attr}")
    assert not wrong, "\n".join(wrong)


def test_import_without_comfyui_has_no_effects(tmp_path: Path) -> None:
    """Every module but the nodes imports in a fresh interpreter without leaving a trace."""
    modules = ["comfyui_uso"]
    for path in package_modules():
        name = "comfyui_uso." + named(path).removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        if named(path).startswith(("uso_model/", "trainer/")) and path.name != "__main__.py":
            modules.append(name)
    command = [sys.executable, "-I", "-B", str(ROOT / "tests/import_probe.py"), *modules]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert json.loads(done.stderr.splitlines()[-1]) == []
    assert list(tmp_path.iterdir()) == []


def test_cli_help_needs_neither_torch_nor_training_packages() -> None:
    probe = (
        "import sys; from comfyui_uso import cli; cli.build_parser().format_help();"
        "sys.exit(','.join({'torch', 'peft', 'accelerate', 'transformers', 'pydantic'} & set(sys.modules)))"
    )
    command = [sys.executable, "-I", "-c", probe]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.stderr.strip() == "", done.stderr


def project_file() -> dict[str, Any]:
    """Read pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_pyproject_lists_every_package() -> None:
    listed = project_file()["tool"]["setuptools"]["packages"]
    folders = {named(path.parent) for path in package_modules() if path.name == "__init__.py"} - {"."}
    assert set(listed) == {"comfyui_uso"} | {"comfyui_uso." + folder.replace("/", ".") for folder in folders}
    loose = [named(path) for path in package_modules() if not (path.parent / "__init__.py").is_file()]
    assert not loose, f"these folders need an __init__.py to be installed: {loose}"


def test_pyproject_leaves_comfyui_alone() -> None:
    """The pack moves no version in ComfyUI's environment and registers its web folder once."""
    project = project_file()
    bounded = [need for need in project["project"]["dependencies"] if re.search(r"<|==|~=|!=", need)]
    assert not bounded, f"no upper bounds and no pins in dependencies: {bounded}"
    assert "web" not in project["tool"]["comfy"], "WEB_DIRECTORY in __init__.py already registers the folder"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for model in project["tool"]["comfy"]["Models"]:
        assert f"`{model['location'].rpartition('/')[2]}`" in readme, f"README.md does not say where {model} goes"


def test_files_are_short() -> None:
    lengths = {named(path): len(path.read_text(encoding="utf-8").splitlines()) for path in files(".py")}
    long = {name: length for name, length in lengths.items() if length > LONGEST_FILE}
    assert not long, f"one concept per file, at most {LONGEST_FILE} lines: {long}"


def test_no_machine_paths_and_ascii_only() -> None:
    wrong = []
    for path in files(".py", ".md", ".toml", ".txt", ".yaml", ".yml", ".json", ""):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if MACHINE_PATHS.search(line):
                wrong.append(f"{named(path)}:{number} names a path of one machine: {line.strip()[:80]}")
            if path.suffix == ".py" and not line.isascii():
                wrong.append(f"{named(path)}:{number} is not ASCII: {line.strip()[:80]}")
    assert not wrong, "\n".join(wrong)


def test_readme_tree_is_the_tree() -> None:
    command = [sys.executable, "tests/readme_tree.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"run `make tree`:\n{done.stdout}{done.stderr}"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    tree = readme.partition("<!-- tree -->")[2].partition("<!-- /tree -->")[0]
    silent = [line.strip() for line in tree.splitlines() if re.fullmatch(r"\s*\S+(\.py|/)", line)]
    assert not silent, f"these files need a docstring that says what they are: {silent}"


def node_ids() -> list[str]:
    """Collect the node ids declared in the schemas of nodes/*.py."""
    ids = []
    for path in files(".py", under="nodes"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "node_id":
                ids.append(ast.literal_eval(node.value))
    return sorted(ids)


def test_every_node_has_a_help_page_and_a_readme_row() -> None:
    ids = node_ids()
    assert len(ids) >= 8 and all(node.startswith("USO_") for node in ids), ids
    assert len(set(ids)) == len(ids), ids
    pages = {path.stem for path in files(".md", under="web/docs")}
    assert pages == set(ids), f"web/docs without a node, or nodes without a page: {sorted(pages ^ set(ids))}"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [node for node in ids if f"| `{node}` |" not in readme] == []


def test_every_workflow_has_a_picture_and_a_readme_row() -> None:
    graphs = files(".json", under="workflows")
    assert graphs
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for graph in graphs:
        json.loads(graph.read_text(encoding="utf-8"))
        assert graph.with_suffix(".png").is_file(), f"{named(graph)} has no picture beside it"
    section = readme.partition("## Workflows")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)
    assert sorted(listed) == sorted(graph.stem for graph in graphs)


def test_links_of_the_documents_lead_somewhere() -> None:
    for document in (ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        text = document.read_text(encoding="utf-8")
        local = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
        assert [link for link in local if not (ROOT / link).exists()] == []
