"""`uso doctor`, `cache`, `train`, `export` and `verify`: what the command line says of runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .cli import complain, device, log_to_terminal
from .engine.reporting import PROGRESS

if TYPE_CHECKING:
    from .recipe import TrainConfig

__all__ = ["add_training_commands"]


def add_training_commands(commands: argparse._SubParsersAction) -> None:
    """Add the sub-commands that plan, train, export and verify."""
    doctor = commands.add_parser(
        "doctor",
        help="say what this machine can train, and what is missing",
        description="Say what this machine can train. With a recipe: everything that would end its training and can be "
        "known now, as `uso train` finds it before it encodes anything; exit 1 if there is such a thing.",
    )
    doctor.add_argument("recipe", nargs="?", help="recipe or run's folder to look at; without it every shipped recipe")

    cache = commands.add_parser("cache", help="encode the pictures and prompts of a recipe, so that training can begin")
    train = commands.add_parser(
        "train",
        help="train a stage, or go on with a run",
        description="Train a stage by a recipe, or go on with the run in a folder: `uso train my_style --name ghibli "
        "data=my_pictures`, then `uso train runs/ghibli`. What is missing or does not fit is said before anything is "
        "encoded. Ctrl-C or a file named STOP in the run's folder ends it after a checkpoint, or at once while it "
        "encodes; a file named SAVE makes a checkpoint.",
    )
    for command in (cache, train):
        command.add_argument(
            "recipe", help="YAML file, the name of a shipped recipe such as my_style, or the folder of a run"
        )
    for command in (cache, train, doctor):
        command.add_argument(
            "settings",
            nargs="*",
            metavar="NAME=VALUE",
            help="settings that differ: loop.steps=200; data=FOLDER takes manifest.jsonl and cache in that folder",
        )
        command.add_argument("--name", help="name of the run: its folder is runs/NAME, its files are in runs/NAME/out")
    train.add_argument(
        PROGRESS,
        choices=("json",),
        help="for programs: write events as JSON lines to standard output, and take `stop` and `save` from standard "
        "input, whose end is a stop, too; docs/training.md lists the events",
    )
    train.add_argument("--allow-change", action="store_true", help="go on with other settings than the run began with")
    cache.add_argument("--prune", action="store_true", help="remove what other recipes have left in the cache")
    cache.set_defaults(handler=_cache)
    train.set_defaults(handler=_train)
    doctor.set_defaults(handler=_doctor)

    export = commands.add_parser("export", help="write a checkpoint of a run as files that ComfyUI loads")
    export.add_argument("run", type=Path, help="folder of the run")
    export.add_argument("--step", type=int, help="checkpoint of this step (the newest)")
    export.add_argument("--out", type=Path, help="folder to write (the run's own `out`)")
    export.add_argument("--dtype", choices=("bf16", "fp16", "fp32"), help="(the model family's own; bf16 for FLUX.1)")
    export.add_argument(
        "--weights", choices=("ema", "live"), default="ema", help="averaged or last weights (%(default)s)"
    )
    export.add_argument(
        "--part",
        choices=("own", "with-uso", "both"),
        default="both",
        help="of a LoRA trained beside USO or another one: itself, or together with that (%(default)s)",
    )
    export.set_defaults(handler=_export)

    verify = commands.add_parser(
        "verify",
        help="recompute a folder of golden cases",
        description="Recompute a folder of golden cases and print the largest errors; exit 1 above 1e-4.",
    )
    verify.add_argument("folder", type=Path, metavar="DIR", help="folder with the weights and the cases")
    verify.set_defaults(handler=_verify)


def _verify(args: argparse.Namespace) -> int:
    from . import verify

    text, code = verify.run(args.folder)
    if code == 2:
        return complain(text)
    print(text)
    return code


def _doctor(args: argparse.Namespace) -> int:
    from .doctor import diagnose

    report = diagnose(_recipe(args) if args.recipe else None)
    print(report.text)
    return 1 if report.problems else 0


def _cache(args: argparse.Namespace) -> None:
    from .data.cache import Cache
    from .encoders.open import open_encoders
    from .engine.telling import telling
    from .preflight import require_ready
    from .train import encode, held_out_data, training_data

    log_to_terminal()
    config = _recipe(args)
    with telling("looking at what the recipe names"):
        require_ready(config)
        encoders = open_encoders(config, device())
        found = training_data(config, encoders), held_out_data(config, encoders)
    datasets = [data for data in found if data is not None]
    for data in datasets:
        encode(data)
        print(f"{config.data.cache}: {len(data)} rows are encoded")
    if args.prune:
        kept = set().union(*(data.entries() for data in datasets))
        print(f"{config.data.cache}: {Cache(config.data.cache).prune(kept)} entries removed")


def _train(args: argparse.Namespace) -> None:
    from .train import train

    log_to_terminal()
    config = _recipe(args)
    train(config, allow_change=args.allow_change)


def _export(args: argparse.Namespace) -> None:
    from .engine.telling import telling
    from .export.run import export_run

    log_to_terminal()
    with telling(f"exporting {args.run}"):
        report = export_run(args.run, args.step, args.out, args.dtype, args.weights, args.part)
    print(report)


def _recipe(args: argparse.Namespace) -> TrainConfig:
    """Return the settings of a run's folder, a file, or a shipped recipe."""
    from .run_folder import open_recipe

    return open_recipe(args.recipe, [*args.settings, *([] if args.name is None else [f"name={args.name}"])])
