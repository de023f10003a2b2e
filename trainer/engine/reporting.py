"""A command that another program drives: events on standard output, requests on standard input."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path

from .control import CONTROL
from .events import EVENTS

__all__ = ["PROGRESS", "report_error", "report_fault", "reporting"]

PROGRESS = "--progress"
"""Option that asks for it, with the value `json`."""


class _Warnings(logging.Handler):
    """Turns the warnings of this package into events; they stand in the log as well."""

    def emit(self, record: logging.LogRecord) -> None:
        EVENTS.emit("warning", text=" ".join(record.getMessage().split()))


@contextmanager
def reporting(words: Sequence[str]) -> Iterator[None]:
    """Write events and obey requests inside, where the words of a command line ask for it.

    Then nothing else reaches standard output: what this program or a library prints there goes to standard error.

    Args:
        words: of the command line, looked at before they are parsed, so that what is wrong with them is an event too.
    """
    if not _asked(words) or os.environ.get("RANK", "0") != "0":  # one of several processes speaks for all
        yield
        return
    handler = _Warnings(logging.WARNING)
    package = logging.getLogger(__name__.partition(".")[0])
    output = _moved(1, 2)
    EVENTS.open(lambda line: None if output is None else _write(output, line))
    package.addHandler(handler)
    # Under Windows, programs and libraries that look at standard input wait while a thread reads it.
    requests = _moved(0, None)
    if requests is not None:
        CONTROL.listen(requests)
    try:
        yield
    except Exception as error:
        report_fault(error)
        raise
    finally:
        package.removeHandler(handler)
        EVENTS.close()


def report_error(text: str, kind: str = "user", rows: Sequence[str] = (), crash: Path | None = None) -> None:
    """Write the event `error`.

    Args:
        text: what is wrong and what to do.
        kind: `user`, who can mend it; `changed`: the run began with other settings or data; `packages` are missing;
            `memory` is full; `not_finite`: a loss or gradient; `fault` of the program.
        rows: ids of the rows that may be to blame.
        crash: folder of the report.
    """
    EVENTS.emit("error", text=text, kind=kind, rows=list(rows), crash=None if crash is None else crash.absolute())


def report_fault(error: Exception) -> None:
    """Write the event of an error that is nobody's but the program's."""
    text = f"{type(error).__name__}: {error}; this is a fault of the program: please report it with the run's log"
    report_error(text, "fault")


def _asked(words: Sequence[str]) -> bool:
    return f"{PROGRESS}=json" in words or (PROGRESS, "json") in pairwise(words)


def _moved(descriptor: int, to: int | None) -> int | None:
    """Return a new number for an open file and put another, or nothing, into its place; None: it was not open."""
    try:
        kept = os.dup(descriptor)
    except OSError:
        return None
    with suppress(OSError):
        if to is not None:
            os.dup2(to, descriptor)
            return kept
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, descriptor)
    os.close(nothing)
    return kept


def _write(descriptor: int, line: bytes) -> None:
    while line:
        line = line[os.write(descriptor, line) :]
