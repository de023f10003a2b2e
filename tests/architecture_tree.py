"""Keep the tree in docs/architecture.md equal to the files: a line is the first sentence of a docstring.

`python tests/architecture_tree.py` writes the tree, `--check` prints how it differs and exits 1.
"""

from __future__ import annotations

import ast
import difflib
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- tree -->\n```text\n", "```\n<!-- /tree -->"
COLUMN, WIDTH = 28, 120
ROOT_FILES = ("__init__.py", "__main__.py", "cli.py")
PACKAGES = ("nodes", "uso_model", "trainer", "mini")
# Folders without an __init__.py cannot speak for themselves.
FOLDERS = {
    "trainer/recipes": "commented recipes by name, and configurations of accelerate",
    "trainer/curate/instructions": "what experts are told, by family of style",
    "mini/recipes": "the recipe of each stage of USO-mini",
    "mini/weights": "the weights of USO-mini",
    "mini/examples": "pictures for the templates and the demonstration",
    "mini/pictures": "pictures of its README",
    "mini/experiment/plans": "sizes of the experiment, and its rows",
    "workflows": "graphs with a picture of the same name; ComfyUI shows them as templates",
    "subgraphs": "blueprints that ComfyUI's node search offers: several nodes in one box",
    "web": "scripts of ComfyUI's page: folded inputs, colours, thumbnails, forgotten wires, values of old graphs",
    "web/docs": "one help page per node, shown inside ComfyUI",
    "locales": "what the page shows of the nodes in Simplified Chinese; English is in the schemas",
    "docs": "training, the dials, workflows, coming from other nodes, this page",
    "benchmarks": "time and memory against ComfyUI's own nodes, and of training",
    "tests": "mirrors the tree; tests/comfy starts a real ComfyUI server",
    "dev": "how USO-mini came about: log, raw results, tables; nothing imports it, no release has it",
}


def purpose(module: Path) -> str:
    """Return the first sentence of a module's docstring, or an empty string."""
    text = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""
    first = re.split(r"(?<=[.])\s", " ".join(text.split("\n\n")[0].split()))[0]
    return first.rstrip(".:")


def lines() -> Iterator[str]:
    """Yield one line per module and folder, packages first."""
    for name in ROOT_FILES:
        yield _line(name, 0, purpose(ROOT / name))
    for package in PACKAGES:
        yield from _package(ROOT / package, 0)
    for folder, text in FOLDERS.items():
        if (ROOT / folder).is_dir() and folder.split("/")[0] not in PACKAGES:
            yield _line(folder + "/", 0, text)


def _package(folder: Path, depth: int) -> Iterator[str]:
    yield _line(folder.name + "/", depth, purpose(folder / "__init__.py"))
    for module in sorted(folder.glob("*.py")):
        if module.name != "__init__.py":
            yield _line(module.name, depth + 1, purpose(module))
    for child in sorted(path for path in folder.iterdir() if path.is_dir()):
        if (child / "__init__.py").is_file():
            yield from _package(child, depth + 1)
        elif text := FOLDERS.get(child.relative_to(ROOT).as_posix()):
            yield _line(child.name + "/", depth + 1, text)


def _line(name: str, depth: int, text: str) -> str:
    first = f"{'  ' * depth + name:<{COLUMN}}"
    # A name that fills its column still needs a gap before the text.
    if not first.endswith("  "):
        first = first.rstrip() + "  "
    wrapped = textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=" " * COLUMN)
    return "\n".join(wrapped or [first.rstrip()]) + "\n"


def main(check: bool) -> int:
    """Write the tree, or only compare it; return the exit code."""
    page = ROOT / "docs/architecture.md"
    before, found, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    old, closed, after = rest.partition(END)
    if not (found and closed):
        raise ValueError(f"{page.name}: expected a tree between {BEGIN!r} and {END!r}")
    new = "".join(lines())
    if not check:
        page.write_text(before + BEGIN + new + END + after, encoding="utf-8")
        return 0
    difference = difflib.unified_diff(old.splitlines(True), new.splitlines(True), page.name, "files")
    sys.stdout.writelines(difference)
    return int(old != new)


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
