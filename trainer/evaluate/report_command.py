"""`uso eval report`: what the command line says of reports."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["add_report"]


def add_report(commands: argparse._SubParsersAction) -> None:
    """Add `uso eval report`."""
    report = commands.add_parser(
        "report",
        help="make tables and a page of scored runs",
        description="Make report.json, report.csv, report.md and report.html of scored runs: for each task the means "
        "with 95 % intervals, real pictures and shuffled references beside them, the worst and the best pictures. The "
        "page opens from disk and loads nothing.",
    )
    report.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folders that `uso eval score` has scored")
    report.add_argument("--out", type=Path, metavar="FOLDER", help="folder to write (`report` in the first run)")
    report.add_argument("--bench", type=Path, help="where the bench is now, if it was moved since the scoring")
    report.set_defaults(handler=_report)


def _report(args: argparse.Namespace) -> None:
    from .report import write_report
    from .together import read_together

    for path in write_report(read_together(args.runs), args.out or args.runs[0] / "report", args.bench):
        print(path)
