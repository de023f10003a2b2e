"""`uso eval compare`: what the command line says of two and more runs of one bench."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

__all__ = ["add_compare"]


def add_compare(commands: argparse._SubParsersAction) -> None:
    """Add `uso eval compare`."""
    compare = commands.add_parser(
        "compare",
        help="compare scored runs picture by picture",
        description="Compare scored runs of one bench picture by picture: the first with each other one. Printed are, "
        "for each task and measure, the mean difference and the share of wins with 95 % intervals. Runs of other "
        "protocols, benches, seeds or judges are refused.",
    )
    compare.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folders that `uso eval score` has scored")
    compare.add_argument("--votes", type=Path, metavar="FILE", help="what people have chosen on `uso eval pairs`' page")
    compare.add_argument("--key", type=Path, metavar="FILE", help="key.json that lies beside that page")
    compare.add_argument("--json", action="store_true", help="print JSON")
    compare.set_defaults(handler=_compare)


def _compare(args: argparse.Namespace) -> None:
    import json
    from dataclasses import asdict

    from ...uso_model.errors import UserError
    from .comparison import compared, told
    from .pairs import read_votes
    from .ranking import ranked, told_votes, wins_of
    from .together import problems_told, read_together

    if len(args.runs) < 2:
        raise UserError("got one run, expected two or more; name those that it is compared with, too")
    if (args.votes is None) != (args.key is None):
        raise UserError("expected --votes and --key together: votes.json that the page saved, and key.json beside it")
    runs = read_together(args.runs)
    first, *others = runs
    if args.votes is not None:
        votes = read_votes(args.votes, args.key, runs)
        if args.json:
            counted = [{"first": a, "second": b, "wins": asdict(wins)} for a, b, wins in wins_of(votes)]
            print(json.dumps(counted, indent=1))
        else:
            _say(told_votes(votes))
        return
    found = [one for other in others for one in compared(first, other)]
    if not found:
        raise UserError("the runs have no picture in common that both have numbers of; score them again")
    if args.json:
        rows = [{**asdict(one), "measure": one.measure.name, "cannot": one.measure.cannot} for one in found]
        print(json.dumps(rows, indent=1))
        return
    _say(f"{run.name}: {problems_told(run)}" for run in runs if run.header.problems)
    for other in others:
        _say([f"{first.name} less {other.name}"])
        _say((told(one) for one in found if one.second == other.name), "  ")
    if len(runs) > 2:
        print("strengths of Bradley and Terry, the best first")
        _say(ranked(runs), "  ")


def _say(lines: Iterable[str], before: str = "") -> None:
    """Print lines of which a stranger's names shall command no terminal."""
    for line in lines:
        print(before + "".join(letter if letter.isprintable() else " " for letter in line))
