"""`uso eval discriminate`: what the command line says of measuring the measures."""

from __future__ import annotations

import argparse
from pathlib import Path

from .judge_options import add_judge_options, named_by
from .short_names import ShortNames

__all__ = ["add_discriminate"]


def add_discriminate(commands: argparse._SubParsersAction, names: ShortNames) -> None:
    """Add `uso eval discriminate`."""
    command = commands.add_parser(
        "discriminate",
        help="say which measures tell styles, or subjects, apart on pictures with labels",
        description="Say how well each measure tells styles apart, and subjects, on a folder of pictures with labels: "
        "the area under the ROC curve (AUC) of pairs in one style against pairs in two, always of different subjects, "
        "and the same for subjects, with 95 % intervals. A measure whose interval holds .5 tells nothing apart there.",
    )
    command.add_argument(
        "folder",
        type=Path,
        metavar="FOLDER",
        help="STYLE/SUBJECT.png in a folder for each style, or SUBJECT.STYLE.png in one",
    )
    add_judge_options(command, names, ", beside the measures without weights")
    command.add_argument("--csls", action="store_true", help="read each judge by CSLS (k = 10), too")
    command.add_argument("--draws", type=int, default=1000, help="draws of the bootstrap (%(default)s)")
    command.set_defaults(handler=_discriminate)


def _discriminate(args: argparse.Namespace) -> int:
    from ..cli import complain, device, require_counts
    from .discriminate import discriminate_folder, table
    from .labelled import labelled_pictures

    require_counts(args, "draws")
    pictures = labelled_pictures(args.folder)
    where = device(args.device)
    judges = named_by(args, where)
    result = discriminate_folder(pictures, judges, where, args.draws, args.csls)
    print(f"{result.pictures} pictures, {result.styles} styles, {result.subjects} subjects\n")
    print(table(result))
    if not result.problems:
        return 0
    return complain(f"{len(result.problems)} pictures were left out", 1, result.problems[:20])
