"""`uso curate plan`: what the command line says of hours, disk and cost."""

from __future__ import annotations

import argparse

from ..evaluate.short_names import ShortNames
from .run_command import add_recipe

__all__ = ["add_plan"]

_FIRST = 20


def add_plan(commands: argparse._SubParsersAction, names: ShortNames) -> None:
    """Add `uso curate plan`."""
    plan = commands.add_parser(
        "plan",
        help="run the first rows, and say what all will take",
        description="Make and judge the first rows of a run, and print hours, disk and cost of the wanted number of "
        "triplets at the yield that these rows have, and at the ends of its 95 % interval. `uso curate run` goes on "
        "from there; nothing is made twice.",
    )
    add_recipe(plan, names)
    plan.add_argument("--wanted", type=int, default=1000, metavar="N", help="accepted triplets (%(default)s)")
    plan.add_argument("--first", type=int, default=_FIRST, metavar="N", help="rows to measure (%(default)s)")
    plan.add_argument(
        "--where", default="", metavar="EXPRESSION", help="rows that `accept` will take (all that no step rejects)"
    )
    plan.set_defaults(handler=_plan)


def _plan(args: argparse.Namespace) -> int:
    from ...uso_model.errors import UserError
    from ..cli import log_to_terminal, require_counts
    from .pipeline import scores_of
    from .plan import forecast, table
    from .run.local import workers_of
    from .run.start import prepared, started
    from .where import parse_where

    require_counts(args, "wanted", "first")
    log_to_terminal()
    where = parse_where(args.where)
    recipe = prepared(args.recipe, args.settings, args.names)
    where.check(scores_of(recipe.pipeline.plans))
    with started(args.run, recipe, first=args.first) as start:
        start.drive()
        rows = [recipe.pipeline.progress(row, start.ledger) for row in start.rows]
        found = forecast(
            rows, args.wanted, where, recipe.config, recipe.pipeline, start.ledger, workers_of(recipe.steps)
        )
    if found is None:
        raise UserError("no row came through, so nothing can be said; `uso curate status` shows why")
    print("\n".join(table(found, args.wanted)))
    return 0
