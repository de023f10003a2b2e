"""`uso eval`: what the command line says of benches. A module each adds its own sub-command."""

from __future__ import annotations

import argparse

from .build_command import add_build
from .compare_command import add_compare
from .discriminate_command import add_discriminate
from .pairs_command import add_pairs
from .report_command import add_report
from .run_command import add_run
from .score_command import add_score
from .short_names import ShortNames

__all__ = ["add_eval_commands"]


def add_eval_commands(commands: argparse._SubParsersAction, names: ShortNames | None = None) -> None:
    """Add the sub-commands of `uso eval`, which know protocols, drawers and judges by these names, too."""
    add_build(commands, names or {})
    add_run(commands, names or {})
    add_score(commands, names or {})
    add_report(commands)
    add_compare(commands)
    add_pairs(commands)
    add_discriminate(commands, names or {})
