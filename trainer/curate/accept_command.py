"""`uso curate accept`: what the command line says of choosing rows."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from .choosing.choose import Choice
    from .recipe import CurateConfig

__all__ = ["add_accept"]

_NEAR, _REASONS, _LONGEST = 4, 30, 400
_BY = {"both": ("style", "subject"), "style": ("style",), "subject": ("subject",), "picture": ()}


def add_accept(commands: argparse._SubParsersAction) -> None:
    """Add `uso curate accept`."""
    accept = commands.add_parser(
        "accept",
        help="choose rows and write the manifest",
        description="Write RUN/manifest.jsonl, which `uso check` and `uso train` read: the rows that people accepted, "
        "and of the others those of which the expression holds. Nothing is deleted; accept again with other words as "
        "often as you like.",
    )
    accept.add_argument("run", type=Path, metavar="RUN", help="folder of a run of `uso curate run`")
    accept.add_argument(
        "--where",
        default="",
        metavar="EXPRESSION",
        help="rows that are accepted, such as 'csd>=.5 and vlm_subject>=3' (all that no step has rejected)",
    )
    accept.add_argument(
        "--decisions", type=Path, metavar="FILE", help="take in the decisions that the review page has saved"
    )
    accept.add_argument(
        "--suggest",
        action="store_true",
        help="write no manifest; print an expression that fits what people have decided, with its yield",
    )
    accept.add_argument(
        "--precision",
        type=float,
        metavar="SHARE",
        help="with --suggest: share of the rows it takes that people would accept, such as .95",
    )
    accept.add_argument(
        "--keep",
        type=float,
        metavar="SHARE",
        help="with --suggest: share of the accepted rows that it takes, in place of --precision",
    )
    accept.add_argument(
        "--near",
        type=int,
        default=_NEAR,
        metavar="BITS",
        help=f"targets whose perceptual hashes differ in so many of 64 bits are near duplicates ({_NEAR}); -1: none",
    )
    accept.add_argument(
        "--alike",
        action="append",
        default=[],
        metavar="JUDGE=COSINE",
        help="targets that a judge of the run finds so much alike are near duplicates, such as dinov2=.95; may be "
        "given several times",
    )
    accept.add_argument(
        "--split",
        default="validation=.05",
        metavar="NAME=SHARE",
        help="split that is taken out, and its share of the groups (validation=.05)",
    )
    accept.add_argument(
        "--split-by",
        choices=list(_BY),
        default="both",
        help="what is never in two splits, beside pictures and their near duplicates: style groups, subjects or both, "
        "as the source names them (both)",
    )
    accept.set_defaults(handler=_accept)


def _accept(args: argparse.Namespace) -> None:
    from ...uso_model.errors import UserError
    from ...uso_model.untrusted import argument, named, quoted
    from ..cli import log_to_terminal
    from ..data.manifest import write_rows
    from ..data.names import MANIFEST
    from .choosing.choose import choose, drop_duplicates, split, triplets
    from .choosing.suggest import suggested
    from .decisions import append_decisions, read_decisions, read_saved
    from .ledger import Ledger
    from .pipeline import scores_of
    from .run_folder import candidates, read_run
    from .where import parse_where

    log_to_terminal()
    where = parse_where(args.where)
    name, share = _named_share("--split", args.split, 0, 1)
    near = None if args.near < 0 else args.near
    if near is not None and near > 31:
        raise UserError(f"got --near {args.near}, expected -1 to 31 bits; hashes of any two pictures differ in some 32")
    config, pipeline = read_run(args.run)
    ledger = Ledger(args.run)
    found = list(candidates(pipeline, ledger))
    if args.decisions:
        saved = read_saved(args.decisions, args.run, {progress.row.id for progress in found})
        print(f"{append_decisions(args.run, saved.values())} decisions taken in")
    decisions = read_decisions(args.run)
    where.check(scores_of(pipeline.plans).union(*(progress.scores for progress in found)))
    if args.suggest:
        for line in suggested(found, decisions, where, args.precision, args.keep):
            print(line)
        return
    choice = choose(found, pipeline, where, decisions)
    drop_duplicates(choice, near, _vectors(args, config, choice))
    split(choice, _BY[args.split_by], name, share)
    for reason, count in choice.reasons.most_common(_REASONS):
        print(f"{count:8d}  {''.join(letter if letter.isprintable() else '?' for letter in quoted(reason, _LONGEST))}")
    if len(choice.reasons) > _REASONS:
        print(f"          and {len(choice.reasons) - _REASONS} other reasons, seldomer than these")
    if not choice.rows:
        raise UserError(f"no row is left of {len(found)}; the lines above say why, and the manifest stays as it was")
    path = args.run / MANIFEST
    write_rows(triplets(choice.rows), path)
    splits = [one.split for one in choice.rows]
    told = ", ".join(f"{splits.count(one)} {one}" for one in sorted(set(splits), key=lambda one: -splits.count(one)))
    people = sum(one.by_person for one in choice.rows)
    print(f"{len(splits):8d}  of {len(found)} accepted, {people} of them by people: {told}")
    if share > 0 and set(splits) == {"train"}:
        print(f"all rows hang together by {args.split_by}, so that none is left for {quoted(name)}; see --split-by")
    print(f"{named(path)} is written; look at it with `uso check {argument(path)}`")


def _vectors(
    args: argparse.Namespace, config: CurateConfig, choice: Choice
) -> dict[str, tuple[float, dict[str, np.ndarray]]]:
    """Return what `drop_duplicates` needs of the judges that `--alike` names."""
    if not args.alike:
        return {}
    from .choosing.embed import target_vectors

    asked = dict(_named_share("--alike", text, -1, 1) for text in args.alike)
    kept = target_vectors(args.run, config, list(asked), choice)
    return {name: (asked[name], vectors) for name, vectors in kept.items()}


def _named_share(option: str, text: str, low: float, high: float) -> tuple[str, float]:
    """Return a name and a number.

    Raises:
        UserError: the text is none such.
    """
    from ...uso_model.errors import UserError
    from ...uso_model.untrusted import quoted

    name, _, number = text.partition("=")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not name or not low <= value <= high:
        raise UserError(f"got {option} {quoted(text)!r}, expected a name and a number of {low:g} to {high:g}, name=.9")
    return name, value
