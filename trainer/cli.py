"""The frame of the `uso` command: its parser, its exit codes and what it does with errors.

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

from ..uso_model.errors import UserError

__all__ = ["complain", "device", "log_to_terminal", "new_parser", "run"]

TRAIN_PACKAGES = frozenset(
    {"accelerate", "matplotlib", "open_clip", "peft", "psutil", "pydantic", "scipy", "tqdm", "yaml"}
)


def new_parser() -> argparse.ArgumentParser:
    """Return a parser to which `add_commands` of each room adds sub-commands."""
    parser = argparse.ArgumentParser(prog="uso", description="USO: style and subject references for FLUX.")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def run(parser: argparse.ArgumentParser, argv: Sequence[str] | None = None) -> int:
    """Run one sub-command and return the exit code: 0 done, 1 a check failed, 2 the user can mend it, 3 a fault."""
    args = parser.parse_args(argv)
    try:
        return args.handler(args) or 0
    except KeyboardInterrupt:
        return complain("stopped", 130)
    except ModuleNotFoundError as error:
        if args.debug or error.name not in TRAIN_PACKAGES:
            raise
        return complain(f"{error.name} is not installed: get the training packages, pip install -e '.[train]'")
    except (UserError, OSError) as error:
        if args.debug:
            raise
        return complain(str(error), 2)
    except FloatingPointError as error:
        if args.debug:
            raise
        return complain(str(error), 1)
    except Exception:
        traceback.print_exc()
        return complain("this is a fault of the program and not yours: please report it with the lines above", 3)


def device() -> str:
    """Return where to compute what needs no recipe."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def log_to_terminal() -> None:
    """Show the log's lines with the time of day."""
    import logging

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")


def complain(message: str, code: int = 2) -> int:
    """Print one line on stderr and return the exit code."""
    print("uso:", " ".join(message.split()), file=sys.stderr)
    return code
