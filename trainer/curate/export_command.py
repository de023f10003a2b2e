"""`uso curate export`: what the command line says of exports."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..replacing import add_force

__all__ = ["add_export"]


def add_export(commands: argparse._SubParsersAction) -> None:
    """Add `uso curate export`."""
    export = commands.add_parser(
        "export",
        help="write the accepted triplets as a data set of their own",
        description="Write the accepted triplets of a run, or of any folder with a manifest.jsonl, as a data set of "
        "their own with a data card. `uso import` reads all formats back.",
    )
    export.add_argument(
        "run", type=Path, metavar="RUN", help="folder with manifest.jsonl, as `uso curate accept` writes it"
    )
    export.add_argument("out", type=Path, metavar="OUT", help="folder to write")
    export.add_argument(
        "--format",
        choices=("folder", "webdataset", "parquet"),
        default="folder",
        help="folder: pictures and a manifest (the default); webdataset: tar archives; parquet: as Hugging Face has it",
    )
    add_force(export)
    export.set_defaults(handler=_export)


def _export(args: argparse.Namespace) -> None:
    from ..cli import log_to_terminal
    from ..engine.telling import telling
    from .export.write import write_export

    log_to_terminal()
    with telling("writing the triplets"):
        rows = write_export(args.run, args.out, args.format, args.force)
    print(f"{args.out}: {rows} triplets as {args.format}; README.md is the data card")
