"""`uso curate review`: what the command line says of the page on which people decide."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...uso_model.untrusted import argument

__all__ = ["add_review"]

_MOST = 20_000


def add_review(commands: argparse._SubParsersAction) -> None:
    """Add `uso curate review`."""
    review = commands.add_parser(
        "review",
        help="make a page on which people look at the rows and decide",
        description="Make a page of all rows of a run with their pictures, scores and reasons, on which people accept "
        "and reject. It opens from disk, needs no server and saves decisions.jsonl for `uso curate accept`. It may be "
        "made again at any time, also while the run goes on; decisions are kept.",
    )
    review.add_argument("run", type=Path, metavar="RUN", help="folder of a run of `uso curate run`")
    review.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="folder to write (`review` in the run); outside of the run it gets small copies of the pictures, to be "
        "given to others",
    )
    review.add_argument("--where", default="", metavar="EXPRESSION", help="only rows of which this holds")
    review.add_argument(
        "--most", type=int, default=_MOST, metavar="N", help="show a fair sample where there are more (%(default)s)"
    )
    review.set_defaults(handler=_review)


def _review(args: argparse.Namespace) -> None:
    from ..cli import require_counts
    from .decisions import read_decisions
    from .ledger import Ledger
    from .pipeline import scores_of
    from .review.columns import choose_rows
    from .review.write import write_page
    from .run_folder import candidates, read_run
    from .where import parse_where

    require_counts(args, "most")
    where = parse_where(args.where)
    pipeline = read_run(args.run)[1]
    ledger = Ledger(args.run)
    rows, count = choose_rows(candidates(pipeline, ledger), where, args.most, scores_of(pipeline.plans))
    out = args.out or args.run / "review"
    page = write_page(args.run, out, pipeline, ledger, rows, count, read_decisions(args.run), where.text)
    what = f"{count} rows" if len(rows) == count else f"{len(rows)} of {count} rows (`--most`)"
    print(f"{page}: {what}; then `uso curate accept {argument(args.run)} --decisions decisions.jsonl`")
