"""`uso curate verify`: what the command line says of damaged pictures."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["add_verify"]


def add_verify(commands: argparse._SubParsersAction) -> None:
    """Add `uso curate verify`."""
    verify = commands.add_parser(
        "verify",
        help="check the hashes of a run's pictures",
        description="Read every picture of a run and compare it with the hash that is its name. Damaged ones are moved "
        "to RUN/damaged, and `uso curate run` makes them again.",
    )
    verify.add_argument("run", type=Path, metavar="RUN", help="folder of a run of `uso curate run`")
    verify.set_defaults(handler=_verify)


def _verify(args: argparse.Namespace) -> int:
    from .run_folder import read_run
    from .verify import verify

    _, pipeline = read_run(args.run)
    found = verify(args.run, pipeline)
    print(f"{found.right} pictures are right")
    for what, names in (("damaged and moved to RUN/damaged", found.damaged), ("absent", found.absent)):
        if names:
            print(f"{len(names)} are {what}, such as {names[0]}; `uso curate run` makes them again")
    if found.unreadable:
        print(f"{len(found.unreadable)} cannot be read, such as {found.unreadable[0]}; check the disk, then try again")
    return int(bool(found.damaged or found.absent or found.unreadable))
