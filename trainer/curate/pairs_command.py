"""`uso curate pairs`: what the command line says of training the stylisation expert."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["add_pairs"]


def add_pairs(commands: argparse._SubParsersAction) -> None:
    """Add `uso curate pairs`."""
    pairs = commands.add_parser(
        "pairs",
        help="write what a stylisation expert trains on",
        description="Write RUN/pairs.jsonl of the rows of RUN/manifest.jsonl: pictures in one style by pairs, for "
        "`uso train stylise_expert data.manifests=RUN/pairs.jsonl`. The expert that was trained draws in the next run.",
    )
    pairs.add_argument("run", type=Path, metavar="RUN", help="folder of a run that `uso curate accept` has chosen from")
    pairs.set_defaults(handler=_pairs)


def _pairs(args: argparse.Namespace) -> None:
    from ...uso_model.errors import UserError
    from ...uso_model.untrusted import named
    from ..data.manifest import write_manifest
    from ..data.names import MANIFEST
    from .pairs import PAIRS, pairs

    if not (args.run / MANIFEST).is_file():
        raise UserError(f"{named(args.run)} has no {MANIFEST}; choose its rows with `uso curate accept` first")
    rows = list(pairs(args.run))
    if not rows:
        raise UserError(f"no accepted row of {named(args.run)} has a style reference that an expert was told to draw")
    write_manifest(rows, args.run / PAIRS)
    print(f"{len(rows):8d}  rows in {named(args.run / PAIRS)}")
