"""The `uso` command: the trainer's commands and the miniature's put together."""

from __future__ import annotations

from collections.abc import Sequence

from .mini.cli import add_commands as add_mini_commands
from .mini.cli import add_demo
from .trainer.arguments import CommandParser
from .trainer.cli import new_parser, run
from .trainer.commands import add_training_commands
from .trainer.curate.commands import add_curate_commands
from .trainer.data.commands import add_data_commands
from .trainer.evaluate.commands import add_eval_commands

__all__ = ["build_parser", "main"]

NAMES = {
    "mini_bench": "comfyui_uso.mini.bench:mini_bench",
    "mini": "comfyui_uso.mini.bench:bundled_drawer",
    "mini_style": "comfyui_uso.mini.judges.vectors:bundled_style",
    "mini_identity": "comfyui_uso.mini.judges.vectors:bundled_identity",
    "mini_traits": "comfyui_uso.mini.judges.vectors:bundled_traits",
    "mini_descriptor": "comfyui_uso.mini.judges.vectors:bundled_descriptor",
}
"""USO-mini's bench, drawer and judges on the command line."""

EXPERTS = {
    "mini": "comfyui_uso.mini.expert:bundled_expert",
    "mini_photo": "comfyui_uso.mini.expert:bundled_photographer",
}
"""USO-mini as experts in recipes of curation."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one sub-command and return its exit code; see `trainer.cli.run`."""
    return run(build_parser(), argv)


def build_parser() -> CommandParser:
    """Build the parser; every sub-command sets `handler`, a function of the parsed arguments."""
    parser = new_parser()
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add_demo(commands)
    add_data_commands(commands)
    add_training_commands(commands)
    curate = commands.add_parser(
        "curate",
        help="make triplets of stylised pictures",
        description="Make triplets of stylised pictures: `run` draws and judges, `review` makes a page to look at, "
        "`accept` writes the manifest that `uso train` reads. docs/curation.md leads through it.",
    )
    add_curate_commands(curate.add_subparsers(title="commands", metavar="COMMAND", required=True), {**NAMES, **EXPERTS})
    evaluate = commands.add_parser("eval", help="measure models on benches of pictures")
    add_eval_commands(evaluate.add_subparsers(title="commands", metavar="COMMAND", required=True), NAMES)
    mini = commands.add_parser("mini", help="make, train and measure USO-mini")
    add_mini_commands(mini.add_subparsers(title="commands", metavar="COMMAND", required=True))
    return parser
