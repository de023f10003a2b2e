"""`uso mini ...`: make the data, train the networks, measure the result."""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path

__all__ = ["CONFIGS", "STAGES", "add_commands"]

CONFIGS = Path(__file__).parents[1] / "configs"
"""Folder of the recipes."""

STAGES = ("autoencoder", "encoders", "base", "style", "copy", "triplet")
"""Stages in the order in which each needs the one before."""


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the sub-commands of `uso mini`."""
    world = commands.add_parser("world", help="render training pictures and their manifests")
    world.add_argument("--out", type=Path, required=True, help="folder to write")
    world.add_argument("--count", type=int, default=5000, help="triplets, three pictures each (%(default)s)")
    world.add_argument("--seed", type=int, default=1, help="the same seed gives the same files (%(default)s)")
    world.set_defaults(handler=_world)

    train = commands.add_parser(
        "train",
        help="train one stage of the miniature",
        description="Train one stage of the miniature; an interrupted run goes on where it stopped. The recipes are in "
        "trainer/configs and expect the folders mini/a and mini/b made by `uso mini world`.",
    )
    train.add_argument("stage", choices=STAGES)
    train.add_argument("settings", nargs="*", metavar="NAME=VALUE", help="settings that differ, such as loop.steps=200")
    train.set_defaults(handler=_train)

    install = commands.add_parser("install", help="copy the trained stages to the bundled weights")
    install.add_argument(
        "--runs", type=Path, default=Path("mini/out"), help="folder of the stages' outputs (%(default)s)"
    )
    install.set_defaults(handler=_install)

    score = commands.add_parser(
        "score",
        help="ask an independent judge for subject and style on held-out pairs; trains the judge first",
    )
    score.add_argument("--count", type=int, default=96, help="pictures per mode (%(default)s)")
    score.add_argument("--steps", type=int, default=12, help="sampling steps (%(default)s)")
    score.set_defaults(handler=_score)


def _world(args: argparse.Namespace) -> None:
    from .data import write_data

    write_data(args.out, args.count, args.seed)


def _train(args: argparse.Namespace) -> None:
    from ..config import load_config

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    recipe = CONFIGS / f"mini_{args.stage}.yaml"
    if args.stage == "autoencoder":
        from .train import AutoencoderRun, train_autoencoder

        train_autoencoder(load_config(AutoencoderRun, recipe, args.settings))
    elif args.stage == "encoders":
        from .train import EncoderRun, train_encoders

        train_encoders(load_config(EncoderRun, recipe, args.settings))
    else:
        from ..recipe import TrainConfig
        from ..train import train

        train(load_config(TrainConfig, recipe, args.settings))


def _install(args: argparse.Namespace) -> None:
    from .install import install

    install(args.runs)


def _score(args: argparse.Namespace) -> None:
    from ...uso_model import mini
    from .judge import train_judge
    from .score import score

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    judge, accuracy = train_judge()
    result = {"judge": accuracy, **score(mini.load(), judge, args.count, steps=args.steps)}
    print(json.dumps(result, indent=1))
