"""`uso eval run`: what the command line says of drawing a bench."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...uso_model.untrusted import argument
from .short_names import ShortNames, spelt_out

__all__ = ["add_run"]


def add_run(commands: argparse._SubParsersAction, names: ShortNames) -> None:
    """Add `uso eval run`."""
    run = commands.add_parser(
        "run",
        help="draw the pictures of a bench",
        description="Draw the pictures of a bench into the folder of a run. Stopped at any moment, the same command "
        "goes on; pictures that are there are kept, damaged ones are drawn again.",
    )
    run.add_argument("bench", type=Path, metavar="BENCH", help="folder that `uso eval build` made")
    run.add_argument("run", type=Path, metavar="RUN", help="folder of the drawings, made where it lacks")
    run.add_argument(
        "settings",
        nargs="*",
        metavar="NAME=VALUE",
        help="settings of the drawer; of flux, those that differ from the recipe's, such as memory.base=fp8",
    )
    run.add_argument(
        "--drawer",
        type=spelt_out(names),
        default="flux",
        help="flux: our own sampler; comfy: a ComfyUI server; or an import path package.module:function (%(default)s)",
    )
    run.add_argument("--recipe", help="flux: recipe, or folder of a run, that names the model's files")
    run.add_argument(
        "--files", type=Path, metavar="FOLDER", help="flux: folder of an exported LoRA and projector to draw with"
    )
    run.add_argument(
        "--server", default="http://127.0.0.1:8188", metavar="URL", help="comfy: address of the server (%(default)s)"
    )
    run.add_argument(
        "--graph",
        action="append",
        default=[],
        metavar="[TASK=]FILE",
        help="comfy: graph in API format, for all tasks or for one, such as subject=a.json; may be given several times",
    )
    run.add_argument(
        "--bind",
        action="append",
        default=[],
        metavar="NAME=TITLE[:INPUT]",
        help="comfy: node, by its title, that takes prompt, style, content, seed, width, height, steps or guidance, or "
        "gives the output; may be given several times",
    )
    run.add_argument("--batch", type=int, help="pictures that are drawn at once (the drawer's own)")
    run.add_argument("--shard", default="1/1", metavar="I/N", help="draw the share I of N, for several machines")
    run.add_argument("--limit", type=int, help="draw the first so many rows of each task alone")
    run.set_defaults(handler=_run)


def _run(args: argparse.Namespace) -> None:
    from ..cli import log_to_terminal, require_counts
    from .bench import read_bench
    from .drawers.drawer import Inputs, open_drawer
    from .run import draw_bench
    from .shards import shard_from

    require_counts(args, "batch", "limit")
    shard = shard_from(args.shard)
    log_to_terminal()
    bench, _, _ = read_bench(args.bench)
    inputs = Inputs(
        args.bench,
        bench,
        texts=args.settings,
        recipe=args.recipe,
        files=args.files,
        server=args.server,
        graphs=args.graph,
        binds=args.bind,
        batch=args.batch,
    )
    done = draw_bench(args.bench, args.run, open_drawer(args.drawer, inputs), shard, args.limit)
    again = f", {done.damaged} of them again because they were damaged" if done.damaged else ""
    print(f"{args.run}: {done.pictures} pictures, {done.drawn} drawn now{again}")
    if done.other_size:
        print(f"{done.other_size} of them are not {bench.width}x{bench.height}, the size that the bench asks for")
    print(f"score them with `uso eval score {argument(args.bench)} {argument(args.run)}`")
