"""`uso import`, `uso check` and `uso csd`: what the command line says of data."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...uso_model.errors import UserError
from ...uso_model.untrusted import argument
from ..cli import log_to_terminal
from ..replacing import add_force, require_new

__all__ = ["add_data_commands"]


def add_data_commands(commands: argparse._SubParsersAction) -> None:
    """Add the sub-commands that make and check data: import, check, csd."""
    _add_check(commands)
    _add_import(commands)
    csd = commands.add_parser(
        "csd",
        help="convert the published CSD-ViT-L checkpoint for the style reward",
        description="Convert pytorch_model.bin of tomg-group-umd/CSD-ViT-L to safetensors, once.",
    )
    csd.add_argument("checkpoint", type=Path)
    csd.add_argument("out", type=Path, help="file to write, for example models/csd-vit-l.safetensors")
    csd.add_argument("--sha256", help="accept a checkpoint with this hash instead of the published one")
    add_force(csd)
    csd.set_defaults(handler=_csd)


def _add_check(commands: argparse._SubParsersAction) -> None:
    check = commands.add_parser(
        "check",
        help="open every picture of triplet manifests",
        description="Open every picture of triplet manifests, or of those of a recipe as it reads them, and print what "
        "was found; exit 1 if anything is wrong.",
    )
    check.add_argument("what", nargs="*", metavar="MANIFEST|RECIPE", help="manifests; or a recipe and NAME=VALUE ...")
    check.add_argument(
        "--by-loss", type=Path, metavar="RUN", help="list the rows of a run by their losses instead, the highest first"
    )
    check.add_argument("--size", type=int, help="size the buckets are counted for (1024, or the recipe's)")
    check.add_argument("--content-size", type=int, help="long side of content pictures (512, or the recipe's)")
    check.set_defaults(handler=_check)


def _add_import(commands: argparse._SubParsersAction) -> None:
    importer = commands.add_parser(
        "import",
        help="make a triplet manifest of another trainer's data set",
        description="Make a triplet manifest of another trainer's data set, of an export of `uso curate`, or of a "
        "folder of pictures. Nothing is copied or changed: the manifest names the pictures where they are. Those in "
        "archives (webdataset, parquet) are written to `pictures` beside the manifest.",
    )
    others = ("ai-toolkit", "folders", "imagefolder", "kohya", "musubi", "pictures", "simpletuner", "uno")
    kinds = ("auto", *sorted([*others, "manifest", "parquet", "webdataset"]))
    importer.add_argument("kind", choices=kinds, help="what the source is; auto: found out where it is plain")
    importer.add_argument(
        "source", type=Path, help="the data set's file (TOML, YAML, JSON, JSON Lines, tar, parquet), or its folder"
    )
    importer.add_argument("--out", type=Path, help="manifest to write (manifest.jsonl in the source's folder)")
    importer.add_argument("--force", action="store_true", help="write over a manifest that is there")
    importer.add_argument(
        "--reference",
        choices=("content", "style"),
        help="what the references are (content); must be said where pictures become references of one another",
    )
    importer.add_argument(
        "--control",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="ai-toolkit, musubi: folder of reference pictures of the targets' names; may be given several times",
    )
    importer.add_argument("--recursive", action="store_true", help="look into sub-folders too")
    importer.add_argument("--caption-extension", metavar=".EXT", help="ending of the captions' files (.txt)")
    importer.add_argument("--caption-column", metavar="NAME", help="imagefolder: column of the captions (text)")
    importer.add_argument("--caption", metavar="TEXT", help="caption of pictures that have none")
    importer.add_argument(
        "--trigger", metavar="WORD", help="word that stands in every caption: in the place of [trigger], else in front"
    )
    importer.add_argument(
        "--split", type=float, default=0.0, metavar="SHARE", help="share of the targets held out as validation (0)"
    )
    importer.add_argument("--skip-missing", action="store_true", help="leave out rows whose pictures are not all there")
    importer.add_argument("--min-score", type=float, help="uno: least score of UNO-1M's pairs, of 4")
    importer.set_defaults(handler=_import)


def _check(args: argparse.Namespace) -> int:
    if args.by_loss is not None:
        from .by_loss import by_loss

        print(by_loss(args.by_loss))
        return 0
    if not args.what:
        raise UserError("got no manifest to check; name one or several, a recipe, or a run with --by-loss")
    from ..engine.telling import telling
    from .check import check
    from .check_settings import reading

    log_to_terminal()
    with telling("opening every picture"):
        report = check(*reading(args.what, args.size, args.content_size))
    print(report.text())
    return 1 if report.problems else 0


def _import(args: argparse.Namespace) -> None:
    from ..engine.telling import telling
    from .importers.found import Options
    from .importers.kinds import import_rows
    from .manifest import require_free, write_manifest
    from .names import MANIFEST, PICTURES

    extension = args.caption_extension  # `txt` is as good as `.txt`
    folder = args.source if args.source.is_dir() else args.source.parent
    out = args.out or folder / MANIFEST
    options = Options(
        reference=args.reference,
        control=tuple(args.control),
        caption_extension=f".{extension}" if extension and extension.isalnum() else extension,
        caption_column=args.caption_column,
        caption=args.caption,
        trigger=args.trigger,
        recursive=args.recursive,
        split=args.split,
        skip_missing=args.skip_missing,
        min_score=args.min_score,
        unpacked=out.parent / PICTURES,
    )
    require_free(out, args.source, args.force)
    log_to_terminal()
    with telling("looking for pictures and captions"):
        found = import_rows(args.kind, args.source, options)
    roots = write_manifest(found.rows, out)
    for line in found.lines:
        print(line)
    if roots:
        print(
            "pictures outside the manifest's folder lie in",
            ", ".join(f"{name}: {path}" for name, path in roots.items()),
        )
    print(f"{out}: {len(found.rows)} rows; look at them with `uso check {argument(out)}`")


def _csd(args: argparse.Namespace) -> None:
    from ...uso_model.judging.csd import PUBLISHED_SHA256, convert_csd

    require_new([args.out], args.force)
    convert_csd(args.checkpoint, args.out, args.sha256 or PUBLISHED_SHA256)
    print(f"{args.out}: name it as models.csd in a recipe")
