"""Run the trainer's commands as `python -m comfyui_uso.trainer` or `accelerate launch -m comfyui_uso.trainer`."""

from .cli import add_commands, new_parser, run

parser = new_parser()
add_commands(parser.add_subparsers(title="commands", metavar="COMMAND", required=True))
raise SystemExit(run(parser))
