"""The `uso` command: one sub-command per task, each a few lines that call the module doing the work.

A handler imports what it needs when it runs, so `uso --help` does not wait for torch. What a user can cause
(ValueError, OSError) becomes one line on stderr and exit code 2; anything else is a bug
and keeps its traceback.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from .mini.cli import add_commands as add_mini_commands

TRAIN_PACKAGES = frozenset({"accelerate", "open_clip", "peft", "pydantic", "yaml"})


def main(argv: Sequence[str] | None = None) -> int:
    """Run one sub-command and return the exit code: 0 done, 1 a check failed, 2 the user can mend it."""
    args = build_parser().parse_args(argv)
    try:
        return args.handler(args) or 0
    except KeyboardInterrupt:
        return _complain("stopped", 130)
    except ModuleNotFoundError as error:
        if args.debug or error.name not in TRAIN_PACKAGES:
            raise
        return _complain(f"{error.name} is not installed: get the training packages, pip install -e '.[train]'")
    except (ValueError, OSError) as error:
        if args.debug:
            raise
        return _complain(str(error))


def build_parser() -> argparse.ArgumentParser:
    """Build the parser; every sub-command sets `handler`, a function of the parsed arguments."""
    parser = argparse.ArgumentParser(prog="uso", description="USO: style and subject references for FLUX.")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    demo = commands.add_parser("demo", help="draw the USO-mini demonstration picture")
    demo.add_argument("--out", type=Path, default=Path("out/demo.png"), help="picture to write (%(default)s)")
    demo.set_defaults(handler=_demo)

    verify = commands.add_parser(
        "verify",
        help="recompute a folder of golden cases",
        description="Recompute a folder of golden cases and print the largest errors; exit 1 above 1e-4.",
    )
    verify.add_argument("folder", type=Path, metavar="DIR", help="folder with the weights and the cases")
    verify.set_defaults(handler=_verify)

    mini = commands.add_parser("mini", help="make, train and measure USO-mini")
    add_mini_commands(mini.add_subparsers(title="commands", metavar="COMMAND", required=True))
    return parser


def _demo(args: argparse.Namespace) -> int:
    from .mini import demo

    started = time.monotonic()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    demo.run(args.out)
    seconds = time.monotonic() - started
    print(f"{args.out}: content | style | subject only | style only | both, in {seconds:.1f} s")
    return 0


def _verify(args: argparse.Namespace) -> int:
    from ..uso_model import verify

    text, code = verify.run(args.folder)
    if code == 2:
        return _complain(text)
    print(text)
    return code


def _complain(message: str, code: int = 2) -> int:
    print("uso:", " ".join(message.split()), file=sys.stderr)
    return code
