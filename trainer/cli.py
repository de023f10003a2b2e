"""The trainer's commands: one sub-command per task, each a few lines that call the module doing the work.

A handler imports what it needs when it runs, so `uso --help` does not wait for torch. What a user can cause
(UserError, OSError) becomes one line on stderr and exit code 2, a training run that stopped itself (FloatingPointError)
exit code 1.
Anything else is a fault of this package: it keeps its traceback and ends with exit code 3.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..uso_model.errors import UserError

if TYPE_CHECKING:
    from .recipe import TrainConfig

__all__ = ["add_commands", "device", "log_to_terminal", "new_parser", "run"]

TRAIN_PACKAGES = frozenset(
    {"accelerate", "matplotlib", "open_clip", "peft", "psutil", "pydantic", "scipy", "tqdm", "yaml"}
)


def new_parser() -> argparse.ArgumentParser:
    """Return a parser to which `add_commands` of this and of other rooms adds sub-commands."""
    parser = argparse.ArgumentParser(prog="uso", description="USO: style and subject references for FLUX.")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def run(parser: argparse.ArgumentParser, argv: Sequence[str] | None = None) -> int:
    """Run one sub-command and return the exit code: 0 done, 1 a check failed, 2 the user can mend it, 3 a fault."""
    args = parser.parse_args(argv)
    try:
        return args.handler(args) or 0
    except KeyboardInterrupt:
        return _complain("stopped", 130)
    except ModuleNotFoundError as error:
        if args.debug or error.name not in TRAIN_PACKAGES:
            raise
        return _complain(f"{error.name} is not installed: get the training packages, pip install -e '.[train]'")
    except (UserError, OSError) as error:
        if args.debug:
            raise
        return _complain(str(error), 2)
    except FloatingPointError as error:
        if args.debug:
            raise
        return _complain(str(error), 1)
    except Exception:
        traceback.print_exc()
        return _complain("this is a fault of the program and not yours: please report it with the lines above", 3)


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the sub-commands of data, training and verification."""
    _add_data_commands(commands)
    _add_training_commands(commands)
    verify = commands.add_parser(
        "verify",
        help="recompute a folder of golden cases",
        description="Recompute a folder of golden cases and print the largest errors; exit 1 above 1e-4.",
    )
    verify.add_argument("folder", type=Path, metavar="DIR", help="folder with the weights and the cases")
    verify.set_defaults(handler=_verify)


def _add_data_commands(commands: argparse._SubParsersAction) -> None:
    check = commands.add_parser(
        "check",
        help="open every picture of triplet manifests",
        description="Open every picture of triplet manifests and print what was found; exit 1 if anything is wrong.",
    )
    check.add_argument("manifests", type=Path, nargs="+", metavar="MANIFEST")
    check.add_argument("--size", type=int, default=1024, help="size the buckets are counted for (%(default)s)")
    check.set_defaults(handler=_check)

    importer = commands.add_parser("import", help="make a triplet manifest of another trainer's data set")
    importer.add_argument("kind", choices=("uno", "ai-toolkit", "musubi", "pictures"), help="what the source is")
    importer.add_argument("source", type=Path, help="UNO's JSON, musubi's JSON Lines, or the folder of targets")
    importer.add_argument("--out", type=Path, help="manifest to write (manifest.jsonl beside the pictures)")
    importer.add_argument("--control", type=Path, help="ai-toolkit: folder of same-named reference pictures")
    importer.add_argument(
        "--reference",
        choices=("content", "style"),
        default="content",
        help="what the references are; kind `pictures`: the other pictures of the folder become them (%(default)s)",
    )
    importer.set_defaults(handler=_import)

    csd = commands.add_parser(
        "csd",
        help="convert the published CSD-ViT-L checkpoint for the style reward",
        description="Convert pytorch_model.bin of tomg-group-umd/CSD-ViT-L to safetensors, once.",
    )
    csd.add_argument("checkpoint", type=Path)
    csd.add_argument("out", type=Path, help="file to write, for example models/csd-vit-l.safetensors")
    csd.add_argument("--sha256", help="accept a checkpoint with this hash instead of the published one")
    csd.set_defaults(handler=_csd)


def _add_training_commands(commands: argparse._SubParsersAction) -> None:
    doctor = commands.add_parser("doctor", help="say what this machine can train, and what is missing")
    doctor.add_argument("recipe", nargs="?", help="recipe to plan for; without it every shipped one")
    doctor.add_argument("settings", nargs="*", metavar="NAME=VALUE")
    doctor.set_defaults(handler=_doctor)

    cache = commands.add_parser("cache", help="encode the pictures and prompts of a recipe, so that training can begin")
    train = commands.add_parser(
        "train",
        help="train a stage, or go on with a run",
        description="Train a stage by a recipe, or go on with the run in a folder. Ctrl-C or a file named STOP in the "
        "run's folder ends it after a checkpoint; a file named SAVE makes a checkpoint.",
    )
    for command in (cache, train):
        command.add_argument("recipe", help="YAML file, or the name of a shipped recipe such as my_style")
        command.add_argument("settings", nargs="*", metavar="NAME=VALUE", help="settings that differ: loop.steps=200")
    train.add_argument("--allow-change", action="store_true", help="go on with other settings than the run began with")
    cache.add_argument("--prune", action="store_true", help="remove what other recipes have left in the cache")
    cache.set_defaults(handler=_cache)
    train.set_defaults(handler=_train)

    export = commands.add_parser("export", help="write a checkpoint of a run as files that ComfyUI loads")
    export.add_argument("run", type=Path, help="folder of the run")
    export.add_argument("--step", type=int, help="checkpoint of this step (the newest)")
    export.add_argument("--out", type=Path, help="folder to write (the run's own `out`)")
    export.add_argument("--dtype", choices=("bf16", "fp16", "fp32"), help="(the model family's own; bf16 for FLUX.1)")
    export.add_argument(
        "--weights", choices=("ema", "live"), default="ema", help="averaged or last weights (%(default)s)"
    )
    export.set_defaults(handler=_export)


def _verify(args: argparse.Namespace) -> int:
    from . import verify

    text, code = verify.run(args.folder)
    if code == 2:
        return _complain(text)
    print(text)
    return code


def _check(args: argparse.Namespace) -> int:
    from .data.check import check

    report = check(args.manifests, args.size)
    print(report.text())
    return 1 if report.problems else 0


def _import(args: argparse.Namespace) -> None:
    from .data.importers import import_rows
    from .data.manifest import write_manifest

    rows = import_rows(args.kind, args.source, args.reference, args.control)
    folder = args.source if args.source.is_dir() else args.source.parent
    out = args.out or folder / "manifest.jsonl"
    write_manifest(rows, out)
    print(f"{out}: {len(rows)} rows; look at them with `uso check {out}`")


def _csd(args: argparse.Namespace) -> None:
    from ..uso_model.judging.csd import PUBLISHED_SHA256, convert_csd

    convert_csd(args.checkpoint, args.out, args.sha256 or PUBLISHED_SHA256)
    print(f"{args.out}: name it as models.csd in a recipe")


def _doctor(args: argparse.Namespace) -> None:
    from .doctor import diagnose

    print(diagnose(_recipe(args.recipe, args.settings) if args.recipe else None))


def _cache(args: argparse.Namespace) -> None:
    from .data.cache import Cache
    from .encoders.open import open_encoders
    from .train import encode, held_out_data, training_data

    log_to_terminal()
    config = _recipe(args.recipe, args.settings)
    encoders = open_encoders(config, device())
    datasets = [data for data in (training_data(config, encoders), held_out_data(config, encoders)) if data is not None]
    for data in datasets:
        encode(data)
        print(f"{config.data.cache}: {len(data)} rows are encoded")
    if args.prune:
        kept = set().union(*(data.entries() for data in datasets))
        print(f"{config.data.cache}: {Cache(config.data.cache).prune(kept)} entries removed")


def _train(args: argparse.Namespace) -> None:
    from .train import train

    log_to_terminal()
    config = _recipe(args.recipe, args.settings)
    train(config, allow_change=args.allow_change)


def _export(args: argparse.Namespace) -> None:
    from .export import export_run

    print(export_run(args.run, args.step, args.out, args.dtype, args.weights))


def _recipe(name: str, settings: Sequence[str]) -> TrainConfig:
    """Return the settings of a run's folder, a file, or a shipped recipe."""
    from .recipe_files import load_recipe, recipe_file
    from .run_folder import CONFIG, read_run

    if (Path(name) / CONFIG).is_file():
        return read_run(name, settings)
    return load_recipe(recipe_file(name), texts=settings)


def device() -> str:
    """Return where to compute what needs no recipe."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def log_to_terminal() -> None:
    """Show the log's lines with the time of day."""
    import logging

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")


def _complain(message: str, code: int = 2) -> int:
    print("uso:", " ".join(message.split()), file=sys.stderr)
    return code
