"""`uso mini ...`: make the data, train the networks, measure the result."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..trainer.cli import log_to_terminal
from ..trainer.replacing import add_force, require_new
from ..uso_model.errors import UserError
from .stage_names import STAGES

__all__ = ["add_commands", "add_demo"]

DEMO = Path("out/demo.png")
"""The demonstration, where no other place is named."""


def add_demo(commands: argparse._SubParsersAction) -> None:
    """Add `uso demo`."""
    demo = commands.add_parser("demo", help="draw the USO-mini demonstration picture")
    demo.add_argument("--out", type=Path, default=DEMO, help="picture to write (%(default)s)")
    add_force(demo)
    demo.set_defaults(handler=_demo)


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the sub-commands of `uso mini`."""
    world = commands.add_parser("world", help="render training pictures and their manifests")
    world.add_argument("--out", type=Path, required=True, help="folder to write")
    world.add_argument("--pictures", type=int, default=12000, help="captioned pictures (%(default)s)")
    world.add_argument("--triplets", type=int, default=4000, help="triplets, three pictures each (%(default)s)")
    world.add_argument("--seed", type=int, default=1, help="the same seed gives the same files (%(default)s)")
    world.add_argument(
        "--improvised", type=float, default=0.4, help="share of triplets in a style without a name (%(default)s)"
    )
    world.add_argument(
        "--hybrids", type=float, default=0.0, help="share of triplets whose subject joins two classes (%(default)s)"
    )
    add_force(world)
    world.set_defaults(handler=_world)

    sheet = commands.add_parser("sheet", help="draw the world on four contact sheets")
    sheet.add_argument("--out", type=Path, required=True, help="folder to write")
    sheet.add_argument("--seed", type=int, default=1, help="(%(default)s)")
    add_force(sheet)
    sheet.set_defaults(handler=_sheet)

    train = commands.add_parser(
        "train",
        help="train one stage of the miniature",
        description="Train one stage of the miniature; an interrupted run continues where it stopped. The recipes are "
        "in mini/recipes and expect the folders mini/a and mini/b made by `uso mini world`.",
    )
    train.add_argument("stage", choices=STAGES)
    train.add_argument("settings", nargs="*", metavar="NAME=VALUE", help="settings that differ, such as loop.steps=200")
    train.set_defaults(handler=_train)

    install = commands.add_parser("install", help="copy what was trained to the bundled weights")
    install.add_argument("--work", type=Path, default=Path("mini"), help="folder of all that was made (%(default)s)")
    install.add_argument("--base", type=Path, default=Path("mini/out/base"), help="output of stage base (%(default)s)")
    install.add_argument(
        "--adapters", type=Path, default=Path("mini/out/reward"), help="output of the last stage (%(default)s)"
    )
    install.add_argument(
        "--judges", type=Path, help="output of stage judges (default: judges, or the only judges-HASH, in --work)"
    )
    install.set_defaults(handler=_install)

    again = commands.add_parser(
        "reproduce",
        help="the whole experiment: from nothing to measured rows and a report",
        description="Draw the world, train every network, run the rows of a plan and measure them. Finished work is "
        "not repeated, so an interrupted command continues where it stopped.",
    )
    again.add_argument("--plan", default="nano", help="mini, nano, quick, or the path of a YAML file (%(default)s)")
    again.add_argument("--quick", action="store_const", const="quick", dest="plan", help="the same as --plan quick")
    again.add_argument("--work", type=Path, default=Path("mini"), help="folder of all that is made (%(default)s)")
    again.add_argument(
        "--rows", nargs="+", help="rows to run instead of the plan's; see mini/experiment/plans/rows.yaml"
    )
    again.add_argument("--seeds", nargs="+", type=int, help="seeds instead of the plan's")
    again.set_defaults(handler=_reproduce)

    measure = commands.add_parser(
        "measure",
        help="measure the bundled network on held-out styles and classes",
        description="Draw held-out cases with the bundled network and print the judges' numbers: the row `shipped` of "
        "mini/README.md, again.",
    )
    measure.add_argument("--cases", type=int, help="how many, from 2 (default: all 256)")
    measure.add_argument("--seed", type=int, help="other cases than those of the table: any number from 0")
    measure.set_defaults(handler=_measure)

    bench = commands.add_parser(
        "bench",
        help="the bench of the bundled network in one go, with a report",
        description="Build mini_bench, draw it with the bundled network, score it and write a report: what `uso eval "
        "build`, `run`, `score` and `report` do one by one. Stopped at any moment, the same command goes on.",
    )
    bench.add_argument("out", type=Path, metavar="OUT", help="folder to write: bench, run and run/report")
    bench.add_argument("--quick", action="store_true", help="24 cases instead of 256")
    bench.set_defaults(handler=_bench)

    report = commands.add_parser(
        "report",
        help="write tables and plots of measured rows",
        description="Write the measured rows into the marked parts of two pages: a short table and the claims into "
        "one, every table and the plots into the other. The defaults are this repository's pages.",
    )
    report.add_argument("--results", type=Path, default=Path("dev/results"), help="folder of the results (%(default)s)")
    report.add_argument("--out", type=Path, default=Path("mini/README.md"), help="page to write (%(default)s)")
    report.add_argument("--tables", type=Path, default=Path("dev/tables.md"), help="page of all tables (%(default)s)")
    report.add_argument("--plan", help="whose rows: a name or a YAML file (the plan that has measured last)")
    report.set_defaults(handler=_report)


def _demo(args: argparse.Namespace) -> None:
    from . import demo

    if args.out.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
        raise UserError(f"got --out {args.out}, expected the name of a picture, such as {args.out / 'demo.png'}")
    if args.out != DEMO:  # what lies there is an earlier demonstration
        require_new([args.out], args.force)
    started = time.monotonic()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    demo.run(args.out)
    seconds = time.monotonic() - started
    print(f"{args.out}: {' | '.join(demo.COLUMNS)}, in {seconds:.1f} s")


def _world(args: argparse.Namespace) -> None:
    from .world.dataset import WRITTEN, write_data

    require_new((args.out / name for name in WRITTEN), args.force)
    write_data(args.out, args.pictures, args.triplets, args.seed, args.improvised, args.hybrids)


def _sheet(args: argparse.Namespace) -> None:
    from .world import hybrids_sheet, individual_sheet, styles_sheet, subjects_sheet

    sheets: dict[str, Callable[..., Any]] = {
        "subjects": subjects_sheet,
        "styles": styles_sheet,
        "individual": individual_sheet,
        "hybrids": hybrids_sheet,
    }
    files = {args.out / f"{name}.png": draw for name, draw in sheets.items()}
    require_new(files, args.force)
    args.out.mkdir(parents=True, exist_ok=True)
    for file, draw in files.items():
        draw(args.seed).save(file)


def _train(args: argparse.Namespace) -> None:
    from .stages import load_stage, train_stage

    log_to_terminal()
    found = train_stage(args.stage, load_stage(args.stage, texts=args.settings))
    if args.stage == "judges":
        print(json.dumps(found, indent=1))


def _install(args: argparse.Namespace) -> None:
    from .install import install

    install(args.work, args.base, args.adapters, args.judges)


def _reproduce(args: argparse.Namespace) -> None:
    from .experiment.plan import load_plan
    from .experiment.reproduce import reproduce

    log_to_terminal()
    print(reproduce(load_plan(args.plan), args.work, args.rows, args.seeds))


def _measure(args: argparse.Namespace) -> None:
    from .experiment.measure_bundled import measure_bundled

    if args.cases is not None and args.cases < 2:
        raise UserError(f"Got --cases {args.cases}, expected 2 or more: one of each layout.")
    if args.seed is not None and args.seed < 0:
        raise UserError(f"Got --seed {args.seed}, expected 0 or more.")
    numbers = measure_bundled(args.cases, args.seed)
    names = list(numbers["true"])
    print(" | ".join((f"{'':18}", *names)))
    for mode, row in numbers.items():
        print(" | ".join((f"{mode:18}", *(f"{row[name]:{len(name)}.3f}" for name in names))))


def _bench(args: argparse.Namespace) -> None:
    from .bench.bundled import bench_bundled

    log_to_terminal()
    started = time.monotonic()
    for path in bench_bundled(args.out, args.quick):
        print(path)
    print(f"built, drawn, scored and reported in {time.monotonic() - started:.0f} s")


def _report(args: argparse.Namespace) -> None:
    from .experiment.folders import hash_of_plan
    from .experiment.plan import load_plan
    from .experiment.report import write_report

    plan = None if args.plan is None else hash_of_plan(load_plan(args.plan))
    write_report(args.results, args.out, args.tables, plan)
