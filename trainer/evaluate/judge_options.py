"""The options that name judges on the command line, and the judges that they mean."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .short_names import ShortNames, spelt_out

if TYPE_CHECKING:  # `uso --help` does not wait for torch
    from ...uso_model.judging.judge import Judge

__all__ = ["add_judge_options", "named_by"]


def add_judge_options(parser: argparse.ArgumentParser, names: ShortNames, beside: str = "") -> None:
    """Add `--judge`, `--judges-folder` and `--device`.

    Args:
        parser: of a sub-command.
        names: short names beside those of the registry.
        beside: what else judges, for the help.
    """
    parser.add_argument(
        "--judge",
        type=spelt_out(names),
        action="append",
        default=[],
        metavar="NAME[=FILE]",
        help=f"clip, dino, dinov2, dinov3, csd or style_encoder, or an import path package.module:object{beside}; "
        "without a file it is looked for in --judges-folder; may be given several times",
    )
    parser.add_argument(
        "--judges-folder",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="where the judges' files are; may be given several times",
    )
    parser.add_argument("--device", help="where judges run, such as cpu or cuda:1 (the GPU, if there is one)")


def named_by(args: argparse.Namespace, device: str) -> list[Judge]:
    """Return the judges that the options name.

    Raises:
        UserError: a judge is not known, or its file is not there or of another kind.
    """
    from ...uso_model.judging.registry import load_judge

    judges = []
    for text in args.judge:
        name, _, file = text.partition("=")
        judges.append(load_judge(name, file or None, args.judges_folder, device))
    return judges
