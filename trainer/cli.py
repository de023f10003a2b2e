"""The frame of the `uso` command: its parser, its exit codes and what it does with errors.

A handler imports what it needs when it runs, so `uso --help` does not wait for torch. What a user can cause
(UserError, OSError) becomes one line for each problem on stderr and exit code 2, a training run that stopped itself
(FloatingPointError) exit code 1.
Anything else is a fault of this package: it keeps its traceback and ends with exit code 3.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ..uso_model.errors import UserError
from ..uso_model.untrusted import named, quoted
from .arguments import CommandParser
from .engine.events import EVENTS
from .engine.leftover import ENDING
from .engine.reporting import report_error, report_fault, reporting
from .install_line import extra_of_pack, install_line
from .out_of_memory import advice
from .problems import ChangedError, Problems
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
OWN_PACKAGES = frozenset({"PIL", "einops", "numpy", "safetensors", "torch", "transformers"})
"""Packages that ComfyUI has, and another Python may lack."""

STOPPED = 130
"""Exit code of what was interrupted."""

OTHER_EXTRAS = {"imagehash": "curate", "openai": "curate", "pyarrow": "parquet", "ray": "cluster"}
"""Packages of other extras than `train`, and which has each."""


def new_parser() -> CommandParser:
    """Return a parser to which `add_commands` of each room adds sub-commands."""
    return CommandParser(prog="uso", description="USO: style and subject references for FLUX.")


def run(parser: CommandParser, argv: Sequence[str] | None = None) -> int:
    """Run one sub-command and return the exit code: 0 done, 1 a check failed, 2 the user can mend it, 3 a fault.

    Where nobody reads on, as behind `| head`, it ends without a word, with the code of a program that SIGPIPE ends.
    """
    _print_anything()
    try:
        try:
            return ENDING.with_code(_handled(parser, argv))
        finally:
            print(end="", flush=True)  # here, because at the interpreter's end an error would be printed
    except BrokenPipeError as error:
        return ENDING.with_code(141 if _nobody_reads() else _answer(error))


def _handled(parser: CommandParser, argv: Sequence[str] | None) -> int:
    """Run one sub-command and return the exit code; a pipe without a reader is raised."""
    given = sys.argv[1:] if argv is None else argv
    words = unquoted(given, parser.flags(given))
    with reporting(words):
        return _obeyed(parser, words)


def _obeyed(parser: CommandParser, words: Sequence[str]) -> int:
    """Run the sub-command of some words."""
    args = parser.parse_args(words, argparse.Namespace(debug=False))
    try:
        require_own_paths(words)
        return args.handler(args) or 0
    except KeyboardInterrupt:
        return complain("stopped", STOPPED)
    except BrokenPipeError:
        raise
    except Exception as error:
        if args.debug:
            raise
        return _answer(error)


def _nobody_reads() -> bool:
    """Whether what is printed has no reader; if so, the rest of it goes nowhere."""
    try:
        print(flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


def _answer(error: Exception) -> int:
    """Say what an error means and return the exit code; a package that no one can be told to install is raised."""
    if isinstance(error, ModuleNotFoundError):
        package = (error.name or "").partition(".")[0]
        extra = "train" if package in TRAIN_PACKAGES | OWN_PACKAGES else OTHER_EXTRAS.get(package)
        if extra is None:
            raise error
        what = "the training packages" if extra == "train" else f"the packages of {extra}"
        line = install_line(sys.executable, extra_of_pack(extra))
        return complain(f"{package} is not installed: get {what}, {line}", kind="packages")
    memory = advice(error)
    if memory is not None:
        return complain(memory, kind="memory")
    if isinstance(error, OSError):
        return complain(_of_system(error))
    if isinstance(error, Problems) and len(error.problems) > 1:
        return complain(f"{len(error.problems)} problems", parts=error.problems)
    if isinstance(error, ChangedError):
        return complain(str(error), kind="changed")
    if isinstance(error, UserError):
        return complain(str(error))
    if isinstance(error, FloatingPointError):
        report_error(str(error), "not_finite", getattr(error, "rows", ()), getattr(error, "folder", None))
        return complain(str(error), 1)
    report_fault(error)
    with _reader_or_events():
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


def complain(message: str, code: int = 2, parts: Sequence[str] = (), kind: str = "user") -> int:
    """Print one line on stderr, and one for each of its parts, and return the exit code; see `report_error`."""
    if code == STOPPED:
        EVENTS.emit("stopped", step=None, steps=None, files=[])
    else:
        report_error("\n".join([message, *parts]), kind)
    with _reader_or_events():
        for line in (f"uso: {message}", *(f"- {part}" for part in parts)):
            print(" ".join(line.split()), file=sys.stderr)
    return code


@contextmanager
def _reader_or_events() -> Iterator[None]:
    """Let a broken pipe pass where events tell the same."""
    try:
        yield
    except BrokenPipeError:
        if not EVENTS.wanted:
            raise
