"""`uso curate status`: what the command line says of how a run stands."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..evaluate.short_names import ShortNames

if TYPE_CHECKING:
    from .status import Status

__all__ = ["add_status"]


def add_status(commands: argparse._SubParsersAction, names: ShortNames) -> None:
    """Add `uso curate status`."""
    status = commands.add_parser(
        "status",
        help="say how a run stands",
        description="Print rows and steps of a run, its yield with a 95 % interval, retries, cost and the time that "
        "is left; with a recipe also what would be made again if the run went on with it. Harmless while it runs.",
    )
    status.add_argument("run", type=Path, metavar="RUN", help="folder of a run of `uso curate run`")
    status.add_argument("recipe", type=Path, nargs="?", metavar="RECIPE", help="settings that may differ by now")
    status.add_argument("settings", nargs="*", metavar="NAME=VALUE", help="settings that differ from the recipe's")
    status.add_argument("--json", action="store_true", help="print JSON, for programs")
    status.set_defaults(handler=_status, names=names)


def _status(args: argparse.Namespace) -> None:
    import json

    from .ledger import Ledger
    from .rows import rows_of
    from .run.start import prepared
    from .run_folder import read_run, rows_of_run
    from .status import redone, status_of

    config, pipeline = read_run(args.run)
    ledger = Ledger(args.run)
    status = status_of(args.run, config, pipeline, ledger, rows_of_run(args.run))
    again = None
    if args.recipe is not None:
        recipe = prepared(args.recipe, args.settings, args.names)
        again = redone(pipeline, recipe.pipeline, ledger, rows_of(recipe.pictures.values(), recipe.config))
    if args.json:
        print(json.dumps({**status.told(), "redone": again}, indent=1))
    else:
        print("\n".join(_lines(status)))
        if again is not None:
            shown = ", ".join(f"{name} of {count} rows" for name, count in again.items())
            print(f"with this recipe {shown or 'nothing'} would be made again")


def _lines(status: Status) -> list[str]:
    from .entry import STATES
    from .run.live import clock

    standings = ", ".join(f"{count} {name}" for name, count in status.rows.items()) or "none touched yet"
    found = [f"rows     {standings}" + (f", {status.total} in the source" if status.total is not None else "")]
    if status.kept is not None:
        found.append(f"yield    {status.kept.shown()}")
    found.append("".join(f"{word:>10}" for word in ("step", *STATES, "a minute", "seconds", "running", "waiting")))
    for name, step in status.steps.items():
        counts = [step.states.get(state, 0) for state in STATES]
        numbers = [*counts, round(step.per_minute, 1), round(step.seconds, 2), step.running, step.waiting]
        found.append("".join(f"{cell:>10}" for cell in (name, *numbers)))
    left = clock(status.seconds_left) if status.seconds_left is not None else "unknown"
    found.append(f"retries  {status.retries}; cost {status.cost:,.2f}; time left {left}")
    found.append(f"drivers  {'; '.join(status.drivers) or 'none at work'}")
    if status.damaged_lines:
        found.append(f"damaged  {len(status.damaged_lines)} lines of the journal, such as {status.damaged_lines[0]}")
    return found
