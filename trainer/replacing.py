"""What commands write never takes the place of what is there, unless a person says so."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from ..uso_model.errors import UserError
from ..uso_model.untrusted import named

__all__ = ["add_force", "require_new"]


def add_force(command: argparse.ArgumentParser) -> None:
    """Add the option with which a command writes over what is there."""
    command.add_argument("--force", action="store_true", help="write over what is there")


def require_new(paths: Iterable[Path], force: bool) -> None:
    """Refuse to write over files, or into folders that hold something.

    Args:
        paths: to be written.
        force: write all the same.

    Raises:
        UserError: something is there.
    """
    there = [path for path in paths if not force and _holds_something(path)]
    if there:
        more = f", and {len(there) - 1} more" if len(there) > 1 else ""
        raise UserError(f"{named(there[0])} is there already{more}; name another place, or write over it with --force")


def _holds_something(path: Path) -> bool:
    if path.is_dir():
        return next(path.iterdir(), None) is not None
    return path.exists() or path.is_symlink()
