"""`uso eval build`: what the command line says of making a bench."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...uso_model.untrusted import argument
from .short_names import ShortNames, spelt_out

__all__ = ["add_build"]

SHOWN = 20
"""Problems that are printed."""


def add_build(commands: argparse._SubParsersAction, names: ShortNames) -> None:
    """Add `uso eval build`."""
    build = commands.add_parser(
        "build",
        help="make a bench of a protocol and pictures",
        description="Make a bench: rows to draw, and copies of the pictures that they refer to. Everything that is "
        "wrong with the source is named with its place.",
    )
    build.add_argument(
        "protocol",
        type=spelt_out(names),
        metavar="PROTOCOL",
        help="dreambench, openstyle, uso_bench, or an import path package.module:object",
    )
    build.add_argument(
        "source",
        type=Path,
        nargs="?",
        metavar="SOURCE",
        help="dreambench: contents of github.com/google/dreambooth; openstyle and uso_bench: a list, .jsonl or .yaml",
    )
    build.add_argument("--out", type=Path, required=True, metavar="BENCH", help="folder to write")
    build.add_argument("--samples", type=int, help="pictures of each row (the protocol's)")
    build.add_argument("--size", metavar="WxH", help="size of what is drawn (the protocol's)")
    build.add_argument(
        "--limit", type=int, help="for trials: the first so many subjects, styles and prompts of the source"
    )
    build.add_argument("--leave-out", action="store_true", help="build without what has problems")
    build.add_argument("--force", action="store_true", help="write over a bench that is there")
    build.set_defaults(handler=_build)


def _build(args: argparse.Namespace) -> int:
    from ..cli import complain, log_to_terminal, require_counts
    from ..engine.telling import telling
    from ..problems import Problems
    from .bench import TASKS
    from .build import build_bench
    from .protocols.find import find_protocol
    from .protocols.protocol import Asked

    require_counts(args, "samples", "limit")
    asked = Asked(args.samples, _size(args.size), args.limit)
    log_to_terminal()
    try:
        with telling("looking at the source's pictures"):
            report = build_bench(find_protocol(args.protocol), args.source, args.out, asked, args.force, args.leave_out)
    except Problems as error:
        many = f"{len(error.problems)} problems" if len(error.problems) > 1 else "1 problem"
        told = f"{many}, so no bench was made; mend them, or build without them with --leave-out"
        return complain(told, parts=_shown(error.problems))
    if report.problems:
        complain(f"{len(report.problems)} problems were left out", parts=_shown(report.problems))
    bench = report.bench
    for task in TASKS:
        if task in bench.counts:
            count = bench.counts[task]
            paper = "" if count.published is None else f"; in the paper {count.published}"
            print(f"{task}: {count.rows} rows, {count.pictures} pictures{paper}")
    for note in bench.notes:
        print(f"note: {note}")
    print(f"{args.out}: {len(bench.pictures)} references; draw it with `uso eval run {argument(args.out)} RUN`")
    return 0


def _shown(problems: list[str]) -> list[str]:
    more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
    return [*problems[:SHOWN], *more]


def _size(text: str | None) -> tuple[int, int] | None:
    """Return width and height, multiples of 16 from 16 to 4096."""
    from ...uso_model.errors import UserError
    from ...uso_model.packing import PIXELS_PER_TOKEN

    if text is None:
        return None
    parts = text.lower().split("x")
    sides = [int(part) for part in parts if part.isdecimal() and len(part) < 6]
    if len(sides) != 2 or len(parts) != 2 or any(side % PIXELS_PER_TOKEN or not 16 <= side <= 4096 for side in sides):
        raise UserError(f"got --size {text[:40]!r}, expected multiples of 16 from 16 to 4096, such as 1024x768")
    return sides[0], sides[1]
