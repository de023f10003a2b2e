"""The rules of CONTRIBUTING.md about files, words and documents that a machine can check."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from .house import ROOT, files, named, package_modules, parsed, project_file

LONGEST_FILE, LONGEST_README, LONGEST_CONTRIBUTING = 300, 150, 100
LEAST_PARTS = 20
"""Nodes of a body's syntax tree; smaller functions may be alike by chance."""
MACHINE_PATHS = re.compile(r"(?<![A-Za-z0-9_.-])/(work|root|farm|tmp|home)/")
WAS_THERE = {"uso_model/mini", "trainer/mini", "trainer/configs"}
"""Places of version 0.1.0 that docs/migration.md names."""
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "mini/README.md", "docs/*.md", "dev/*.md")


def lines(path: Path) -> int:
    """Count a file's lines."""
    return len(path.read_text(encoding="utf-8").splitlines())


def test_files_are_short() -> None:
    long = {named(path): lines(path) for path in files(".py") if lines(path) > LONGEST_FILE}
    assert not long, f"one concept per file, at most {LONGEST_FILE} lines: {long}"


def test_the_readme_and_the_rules_are_short() -> None:
    assert lines(ROOT / "README.md") <= LONGEST_README
    assert lines(ROOT / "CONTRIBUTING.md") <= LONGEST_CONTRIBUTING


def test_no_two_functions_have_the_same_body() -> None:
    """Names of variables and docstrings do not count: a copy with other names is a copy."""
    bodies = defaultdict(list)
    for path in [*package_modules().values(), *files(".py", under="benchmarks"), *files(".py", under="tests")]:
        for node in ast.walk(parsed(path)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                body = node.body[1:] if ast.get_docstring(node) is not None else node.body
                parts = [part for line in body for part in ast.walk(line) if not isinstance(part, ast.expr_context)]
                if len(parts) >= LEAST_PARTS:
                    bodies[_shape(node, body)].append(f"{named(path)}:{node.lineno} {node.name}")
    same = [places for places in bodies.values() if len(places) > 1]
    assert not same, f"the same body under several names; keep one: {same}"
    assert len(bodies) > 300, "the search found hardly any function"


def _shape(function: ast.FunctionDef | ast.AsyncFunctionDef, body: list[ast.stmt]) -> str:
    """Return a function's body with its arguments and variables numbered in the order in which they appear."""
    arguments = function.args
    own = [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    own += [a.arg for a in (arguments.vararg, arguments.kwarg) if a is not None]
    stored = [n.id for part in body for n in ast.walk(part) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
    numbers = {name: f"v{number}" for number, name in enumerate(dict.fromkeys([*own, *stored]))}
    text = "\n".join(ast.dump(part) for part in body)
    return re.sub(r"Name\(id='(\w+)'", lambda found: f"Name(id={numbers.get(found[1], found[1])!r}", text)


def test_no_machine_paths_and_ascii_only() -> None:
    wrong = []
    for path in files(".py", ".md", ".toml", ".txt", ".yaml", ".yml", ".json", ""):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if MACHINE_PATHS.search(line):
                wrong.append(f"{named(path)}:{number} names a path of one machine: {line.strip()[:80]}")
            if path.suffix == ".py" and not line.isascii():
                wrong.append(f"{named(path)}:{number} is not ASCII: {line.strip()[:80]}")
    assert not wrong, "\n".join(wrong)


def test_the_tree_is_the_files() -> None:
    command = [sys.executable, "tests/architecture_tree.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"run `make tree`:\n{done.stdout}{done.stderr}"
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    tree = page.partition("<!-- tree -->")[2].partition("<!-- /tree -->")[0]
    silent = [line.strip() for line in tree.splitlines() if re.fullmatch(r"\s*\S+(\.py|/)", line)]
    assert not silent, f"these files need a docstring that says what they are: {silent}"


def test_files_named_in_the_documents_are_there() -> None:
    roots = ("nodes", "uso_model", "trainer", "mini", "tests", "benchmarks", "web", "docs", "workflows", "dev")
    for document in (path for pattern in DOCUMENTS for path in ROOT.glob(pattern)):
        text = document.read_text(encoding="utf-8")
        quoted = set(re.findall(rf"`((?:{'|'.join(roots)})/[\w/.]+)`", text)) - WAS_THERE
        assert [file for file in quoted if not (ROOT / file).exists()] == [], named(document)


def test_links_of_the_documents_lead_somewhere() -> None:
    for document in (path for pattern in DOCUMENTS for path in ROOT.glob(pattern)):
        wrong = []
        for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
            file, _, anchor = link.partition("#")
            target = document.parent / file if file else document
            if "://" in link:
                continue
            if not target.exists() or (anchor and anchor not in anchors(target)):
                wrong.append(link)
        assert not wrong, f"{named(document)}: {wrong}"


def anchors(page: Path) -> set[str]:
    """Return what links to the headings of a page end with, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def test_pyproject_lists_every_package() -> None:
    listed = project_file()["tool"]["setuptools"]["packages"]
    modules = package_modules().values()
    folders = {named(path.parent) for path in modules if path.name == "__init__.py"} - {"."}
    assert set(listed) == {"comfyui_uso"} | {"comfyui_uso." + folder.replace("/", ".") for folder in folders}
    loose = [named(path) for path in modules if not (path.parent / "__init__.py").is_file()]
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


def node_ids() -> list[str]:
    """Collect the node ids declared in the schemas of nodes/*.py."""
    ids = []
    for path in files(".py", under="nodes"):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.keyword) and node.arg == "node_id":
                ids.append(ast.literal_eval(node.value))
    return sorted(ids)


def test_every_node_has_a_help_page_and_a_readme_row() -> None:
    ids = node_ids()
    assert len(ids) >= 8 and all(node.startswith("USO_") for node in ids), ids
    assert len(set(ids)) == len(ids), ids
    pages = {path.stem for path in (ROOT / "web/docs").glob("*.md")}  # tests/nodes/test_help_pages.py: those in Chinese
    assert pages == set(ids), f"web/docs without a node, or nodes without a page: {sorted(pages ^ set(ids))}"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = [line for line in readme.splitlines() if line.startswith("| `USO_")]
    assert [node for node in ids if not any(f"| `{node}` |" in r and f"web/docs/{node}.md" in r for r in rows)] == []


def test_every_workflow_has_a_picture_and_a_row() -> None:
    graphs = files(".json", under="workflows")
    assert graphs
    for graph in graphs:
        json.loads(graph.read_text(encoding="utf-8"))
        assert graph.with_suffix(".jpg").is_file(), f"{named(graph)} has no picture beside it"
    page = (ROOT / "docs/workflows.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)
    assert sorted(listed) == sorted(graph.stem for graph in graphs)
    assert "docs/workflows.md" in (ROOT / "README.md").read_text(encoding="utf-8")
