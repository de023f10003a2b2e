"""`uso import`, `uso check` and `uso csd`: what the command line says of data."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...uso_model.errors import UserError

__all__ = ["add_data_commands"]


def add_data_commands(commands: argparse._SubParsersAction) -> None:
    """Add the sub-commands that make and check data: import, check, csd."""
    check = commands.add_parser(
        "check",
        help="open every picture of triplet manifests",
        description="Open every picture of triplet manifests and print what was found; exit 1 if anything is wrong.",
    )
    check.add_argument("manifests", type=Path, nargs="*", metavar="MANIFEST")
    check.add_argument(
        "--by-loss", type=Path, metavar="RUN", help="list the rows of a run by their losses instead, the highest first"
    )
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


def _check(args: argparse.Namespace) -> int:
    if args.by_loss is not None:
        from .by_loss import by_loss

        print(by_loss(args.by_loss))
        return 0
    if not args.manifests:
        raise UserError("got no manifest to check; name one or several, or a run with --by-loss")
    from .check import check

    report = check(args.manifests, args.size)
    print(report.text())
    return 1 if report.problems else 0


def _import(args: argparse.Namespace) -> None:
    from .importers import import_rows
    from .manifest import write_manifest

    rows = import_rows(args.kind, args.source, args.reference, args.control)
    folder = args.source if args.source.is_dir() else args.source.parent
    out = args.out or folder / "manifest.jsonl"
    write_manifest(rows, out)
    print(f"{out}: {len(rows)} rows; look at them with `uso check {out}`")


def _csd(args: argparse.Namespace) -> None:
    from ...uso_model.judging.csd import PUBLISHED_SHA256, convert_csd

    convert_csd(args.checkpoint, args.out, args.sha256 or PUBLISHED_SHA256)
    print(f"{args.out}: name it as models.csd in a recipe")
