"""The frame of the `uso` command: its parser, its exit codes and what it does with errors.

A handler imports what it needs when it runs, so `uso --help` does not wait for torch. What a user can cause
(UserError, OSError) becomes one line for each problem on stderr and exit code 2, a training run that stopped itself
(FloatingPointError) exit code 1.
Anything else is a fault of this package: it keeps its traceback and ends with exit code 3.
"""

from __future__ import annotations

import argparse
import io
import sys
import traceback
from collections.abc import Sequence

from ..uso_model.errors import UserError
from ..uso_model.untrusted import named, quoted
from .arguments import CommandParser
from .out_of_memory import advice
from .problems import Problems
from .reading.command_line import require_own_paths, unquoted

__all__ = ["complain", "device", "log_to_terminal", "new_parser", "require_counts", "run"]

TRAIN_PACKAGES = frozenset(
    {
        "accelerate",
        "choix",
        "jinja2",
        "matplotlib",
        "open_clip",
        "peft",
        "psutil",
        "pydantic",
        "scipy",
        "tomli",
        "tqdm",
        "yaml",
    }
)


def new_parser() -> argparse.ArgumentParser:
    """Return a parser to which `add_commands` of each room adds sub-commands."""
    return CommandParser(prog="uso", description="USO: style and subject references for FLUX.")


def run(parser: argparse.ArgumentParser, argv: Sequence[str] | None = None) -> int:
    """Run one sub-command and return the exit code: 0 done, 1 a check failed, 2 the user can mend it, 3 a fault."""
    _print_anything()
    words = unquoted(sys.argv[1:] if argv is None else argv)
    args = parser.parse_args(words, argparse.Namespace(debug=False))
    try:
        require_own_paths(words)
        return args.handler(args) or 0
    except KeyboardInterrupt:
        return complain("stopped", 130)
    except Exception as error:
        if args.debug:
            raise
        return _answer(error)


def _answer(error: Exception) -> int:
    """Say what an error means and return the exit code; a package that no one can be told to install is raised."""
    if isinstance(error, ModuleNotFoundError):
        if error.name not in TRAIN_PACKAGES:
            raise error
        # Double quotes are understood by sh, cmd.exe and PowerShell alike.
        return complain(f'{error.name} is not installed: get the training packages, pip install -e ".[train]"')
    memory = advice(error)
    if memory is not None:
        return complain(memory)
    if isinstance(error, OSError):
        return complain(_of_system(error))
    if isinstance(error, Problems) and len(error.problems) > 1:
        return complain(f"{len(error.problems)} problems", parts=error.problems)
    if isinstance(error, UserError):
        return complain(str(error))
    if isinstance(error, FloatingPointError):
        return complain(str(error), 1)
    traceback.print_exception(error)
    return complain("this is a fault of the program and not yours: please report it with the lines above", 3)


def _of_system(error: OSError) -> str:
    """Return the sentence of an error of the system: ours as they are, its own with the file first."""
    if error.errno is None:
        return str(error)
    if error.filename is None:
        return f"a file cannot be read or written ({error.strerror}); check the disk, `--debug` shows where it was"
    files = " and ".join(named(str(file)) for file in (error.filename, error.filename2) if file is not None)
    return f"{files}: {error.strerror}; check the path, the permissions and the room on the disk"


def _print_anything() -> None:
    """Let a console print what it has no letters for, such as Japanese file names under Windows' code page 1252."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def device(name: str | None = None) -> str:
    """Return where to compute what needs no recipe: the device of a name, else the GPU if there is one.

    Raises:
        UserError: there is no such device.
    """
    import torch

    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:  # the latter where PyTorch was built without that kind
        raise UserError(
            f"got --device {quoted(name)!r}, expected a device of this machine, such as cpu or cuda:0; correct it"
        ) from error
    return name


def require_counts(args: argparse.Namespace, *names: str) -> None:
    """Make sure that options which count something are 1 or more where they are given.

    Raises:
        UserError: one is not.
    """
    for name in names:
        value = getattr(args, name)
        if value is not None and value < 1:
            raise UserError(f"got --{name} {value}, expected 1 or more")


def log_to_terminal() -> None:
    """Show the log's lines with the time of day."""
    import logging

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")


def complain(message: str, code: int = 2, parts: Sequence[str] = ()) -> int:
    """Print one line on stderr, and one for each of its parts, and return the exit code."""
    for line in (f"uso: {message}", *(f"- {part}" for part in parts)):
        print(" ".join(line.split()), file=sys.stderr)
    return code
