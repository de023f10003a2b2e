"""`uso curate run`: what the command line says of making triplets."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..evaluate.short_names import ShortNames

__all__ = ["add_recipe", "add_run"]


def add_recipe(parser: argparse.ArgumentParser, names: ShortNames) -> None:
    """Add what names a run and how it is made."""
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of the run, made where it lacks")
    parser.add_argument("recipe", type=Path, metavar="RECIPE", help="YAML file of settings")
    parser.add_argument("settings", nargs="*", metavar="NAME=VALUE", help="settings that differ from the recipe's")
    parser.set_defaults(names=names)


def add_run(commands: argparse._SubParsersAction, names: ShortNames) -> None:
    """Add `uso curate run`."""
    run = commands.add_parser(
        "run",
        help="make and judge candidates for triplets",
        description="Make references for the pictures of a source and judge them. Stopped at any moment, the same "
        "command goes on; what a judge has left unanswered is asked once more.",
    )
    add_recipe(run, names)
    run.add_argument(
        "--shard", default="1/1", metavar="I/N", help="do share I of N, so that several machines work on one folder"
    )
    run.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="who runs the steps: this machine, or the Ray cluster that it belongs to (default: local)",
    )
    run.add_argument("--retry-failed", action="store_true", help="try steps once more that have used up their attempts")
    run.set_defaults(handler=_run)


def _run(args: argparse.Namespace) -> None:
    from ..cli import log_to_terminal
    from ..evaluate.shards import shard_from
    from .run.start import prepared, started

    log_to_terminal()
    shard = shard_from(args.shard)
    with started(args.run, prepared(args.recipe, args.settings, args.names), shard) as start:
        start.drive(args.engine, retry_failed=args.retry_failed)
