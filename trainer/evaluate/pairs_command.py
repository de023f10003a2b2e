"""`uso eval pairs`: what the command line says of asking people."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...uso_model.untrusted import argument

__all__ = ["add_pairs"]


def add_pairs(commands: argparse._SubParsersAction) -> None:
    """Add `uso eval pairs`."""
    pairs = commands.add_parser(
        "pairs",
        help="make a page on which people choose between two drawings",
        description="Make a page on which people choose between two drawings without knowing whose they are. It opens "
        "from disk and saves votes.json; key.json beside it says whose they are: keep it from the voters.",
    )
    pairs.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folders that `uso eval score` has scored")
    pairs.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder to write")
    pairs.add_argument("--count", type=int, default=60, help="pairs on the page (%(default)s)")
    pairs.add_argument("--seed", type=int, default=0, help="of the choice and of the sides (%(default)s)")
    pairs.add_argument("--bench", type=Path, help="where the bench is now, if it was moved since the scoring")
    pairs.set_defaults(handler=_pairs)


def _pairs(args: argparse.Namespace) -> None:
    from ...uso_model.errors import UserError
    from .pairs import KEY, write_pairs
    from .together import read_together

    if len(args.runs) < 2 or args.count < 1:
        raise UserError("expected two runs or more and a --count of 1 or more")
    page, count = write_pairs(read_together(args.runs), args.out, args.count, args.seed, args.bench)
    runs = " ".join(argument(run) for run in args.runs)
    print(f"{page}: {count} pairs; then `uso eval compare {runs} --votes votes.json --key {argument(args.out / KEY)}`")
