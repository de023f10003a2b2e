"""`uso curate`: what the command line says of curation. A module each adds its own sub-command."""

from __future__ import annotations

import argparse

from ..evaluate.short_names import ShortNames
from .accept_command import add_accept
from .export_command import add_export
from .pairs_command import add_pairs
from .plan_command import add_plan
from .review_command import add_review
from .run_command import add_run
from .status_command import add_status
from .verify_command import add_verify

__all__ = ["add_curate_commands"]


def add_curate_commands(commands: argparse._SubParsersAction, names: ShortNames | None = None) -> None:
    """Add the sub-commands of `uso curate`, whose recipes may name experts and judges by these names, too."""
    add_plan(commands, names or {})
    add_run(commands, names or {})
    add_status(commands, names or {})
    add_verify(commands)
    add_review(commands)
    add_accept(commands)
    add_pairs(commands)
    add_export(commands)
