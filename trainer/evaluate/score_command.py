"""`uso eval score`: what the command line says of judging the drawings of a bench."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...uso_model.untrusted import argument
from .judge_options import add_judge_options, named_by
from .short_names import ShortNames, spelt_out

__all__ = ["add_score"]


def add_score(commands: argparse._SubParsersAction, names: ShortNames) -> None:
    """Add `uso eval score`."""
    score = commands.add_parser(
        "score",
        help="judge the drawings of a bench",
        description="Judge the drawings of a bench: a run of `uso eval run`, or any folder of ROW_SAMPLE.png. What "
        "judges have seen is kept, so that scoring again is quick. Pictures that are missing, damaged, black, of one "
        "colour or of a wrong size are counted, and the command ends with 1 if there are any.",
    )
    score.add_argument("bench", type=Path, metavar="BENCH", help="folder that `uso eval build` made")
    score.add_argument("run", type=Path, metavar="RUN", help="folder of the drawings")
    add_judge_options(score, names)
    score.add_argument(
        "--measures",
        action="append",
        default=[],
        metavar="PATH",
        help="more measures: an import path package.module:object of a function of judges and device",
    )
    score.add_argument(
        "--without",
        action="append",
        default=[],
        metavar="NAME",
        help="leave a measure out, such as crop_content, which looks at 14 crops; may be given several times",
    )
    score.add_argument(
        "--protocol",
        type=spelt_out(names),
        metavar="PATH",
        help="take the judges and measures of the bench's protocol, too: its import path package.module:object, whose "
        "code runs; this pack's own need not be named",
    )
    score.add_argument("--cache", type=Path, metavar="FOLDER", help="of what judges have seen (`features` beside RUN)")
    score.add_argument("--allow-missing", action="store_true", help="end with 0 whatever is wrong with pictures")
    score.add_argument("--shard", default="1/1", metavar="I/N", help="score the share I of N, for several machines")
    score.set_defaults(handler=_score, known=tuple(names.values()))


def _score(args: argparse.Namespace) -> int:
    from ..cli import complain, device, log_to_terminal
    from ..engine.telling import telling
    from .find_measures import find_measures, own_protocol, usual_judges
    from .score import score_run
    from .shards import shard_from

    shard = shard_from(args.shard)
    log_to_terminal()
    where = device(args.device)
    protocol = own_protocol(args.bench, args.known, args.protocol)
    judges = named_by(args, where)
    if not judges:
        judges = usual_judges(protocol, where)
    measures = find_measures(protocol, judges, args.measures, where, args.without)
    cards = [judge.card for judge in judges]
    with telling(f"scoring {args.run}"):
        done = score_run(args.bench, args.run, measures, cards, args.cache, shard)
    for measure in done.header.measures:
        if measure.cannot:
            print(f"{measure.name} {measure.cannot}")
    print(f"{done.path}: {done.header.expected} pictures; look at them with `uso eval report {argument(args.run)}`")
    wrong = sum(done.header.problems.values())
    if not wrong:
        return 0
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(done.header.problems.items()))
    message = f"{wrong} of {done.header.expected} pictures have something wrong: {kinds}"
    if args.allow_missing:
        print(message)
        return 0
    first = next(score for score in done.scores if score.problem)
    return complain(
        f"{message}; the first is {first.row}_{first.sample}.png; draw them again, or accept them with --allow-missing",
        1,
    )
