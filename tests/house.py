"""The project's files and modules, as the tests of the house rules look at them."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("nodes", "uso_model", "trainer", "mini")
TOP = ("__init__.py", "__main__.py", "cli.py")
SKIPPED = {".venv", ".git", ".hypothesis", "out", "build", "dist", "node_modules"}
SKIPPED_ENDINGS = (".egg-info", "__pycache__", "_cache")


class Import(NamedTuple):
    """One imported name."""

    name: tuple[str, ...]
    """In parts; a relative one from the root of the package."""
    relative: bool
    line: int
    at_import: bool
    """Whether the module cannot be imported without it: neither in a function nor for types alone."""


def files(*suffixes: str, under: str = ".") -> list[Path]:
    """List the project's files with one of these suffixes, leaving out environments, caches and outputs."""
    found = []
    for folder, folders, names in os.walk(ROOT / under):
        folders[:] = [name for name in folders if name not in SKIPPED and not name.endswith(SKIPPED_ENDINGS)]
        found += [Path(folder, name) for name in names if Path(name).suffix in suffixes and name not in SKIPPED]
    return sorted(found)


def named(path: Path) -> str:
    """Name a file by its place in the repository."""
    return path.relative_to(ROOT).as_posix()


def parsed(path: Path) -> ast.Module:
    """Parse a module."""
    return ast.parse(path.read_text(encoding="utf-8"))


def package_modules() -> dict[tuple[str, ...], Path]:
    """Return the modules that get installed: dotted name in parts, from the package's root, to file."""
    paths = [*(ROOT / name for name in TOP), *(path for package in PACKAGES for path in files(".py", under=package))]
    return {module_name(path): path for path in paths}


def module_name(path: Path) -> tuple[str, ...]:
    """Return a module's name in parts; a package is its folder, the root package ()."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


def imports(path: Path) -> Iterator[Import]:
    """Yield every imported name of a module."""
    yield from _imports(path, parsed(path), True)


def _imports(path: Path, tree: ast.AST, at_import: bool) -> Iterator[Import]:
    folder = path.relative_to(ROOT).parts[:-1]
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(tuple(alias.name.split(".")), False, node.lineno, at_import)
        elif isinstance(node, ast.ImportFrom):
            name = tuple(node.module.split(".")) if node.module else ()
            if node.level:
                assert node.level <= len(folder) + 1, f"{named(path)}:{node.lineno} imports from above the package"
                name = folder[: len(folder) - node.level + 1] + name
            for alias in node.names:
                yield Import((*name, alias.name), bool(node.level), node.lineno, at_import)
        else:
            inside = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) or _for_types(node)
            yield from _imports(path, node, at_import and not inside)


def _for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def project_file() -> dict[str, Any]:
    """Read pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
