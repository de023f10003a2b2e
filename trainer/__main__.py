"""Run the trainer's commands as `python -m comfyui_uso.trainer` or `accelerate launch -m comfyui_uso.trainer`."""

from .cli import new_parser, run
from .commands import add_training_commands
from .data.commands import add_data_commands

parser = new_parser()
commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
add_data_commands(commands)
add_training_commands(commands)
raise SystemExit(run(parser))
