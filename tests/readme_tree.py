"""Keep the file list of README.md equal to the files: a line is the first sentence of a docstring.

`python tests/readme_tree.py` writes the list, `--check` prints how it differs and exits 1.
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
PACKAGES = ("nodes", "uso_model", "trainer")
# Folders without an __init__.py cannot speak for themselves.
FOLDERS = {
    "uso_model/mini/weights": "the weights of USO-mini",
    "trainer/mini/judges": "the weights of the judges",
    "workflows": "graphs with a picture of the same name; ComfyUI shows them as templates",
    "web/docs": "one help page per node, shown inside ComfyUI",
    "locales": "what the page shows of the nodes, in English and Simplified Chinese",
    "docs": "training, the dials, coming from other nodes, the miniature and its measurements",
    "benchmarks": "time and memory against ComfyUI's own nodes",
    "tests": "mirrors the tree; tests/comfy starts a real ComfyUI server",
}


def purpose(module: Path) -> str:
    """Return the first sentence of a module's docstring, or an empty string."""
    text = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""
    first = re.split(r"(?<=[.])\s", " ".join(text.split("\n\n")[0].split()))[0]
    return first.rstrip(".:")


def lines() -> Iterator[str]:
    """Yield one line per module and folder, packages first."""
    yield _line("__init__.py", 0, purpose(ROOT / "__init__.py"))
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
    """Write the list, or only compare it; return the exit code."""
    readme = ROOT / "README.md"
    before, found, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    old, closed, after = rest.partition(END)
    if not (found and closed):
        raise ValueError(f"README.md: expected a file list between {BEGIN!r} and {END!r}")
    new = "".join(lines())
    if not check:
        readme.write_text(before + BEGIN + new + END + after, encoding="utf-8")
        return 0
    difference = difflib.unified_diff(old.splitlines(True), new.splitlines(True), "README.md", "files")
    sys.stdout.writelines(difference)
    return int(old != new)


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
