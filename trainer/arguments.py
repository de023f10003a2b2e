"""The parser of the `uso` command: options anywhere, one line about what is wrong, and the setting that was meant."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from typing import Any, NoReturn

from .engine.reporting import report_error
from .reading.other_trainers import same_setting

__all__ = ["CommandParser"]


class CommandParser(argparse.ArgumentParser):
    """A parser whose commands take their options before, between and after all other arguments.

    What sets `handler` as a default is a command; the parsers above it only choose one.
    """

    def __init__(self, **settings: Any):
        self._options: list[str] = []
        self._flags: list[str] = []
        self._commands: argparse._SubParsersAction | None = None
        self._mixing = False
        super().__init__(**settings)
        # Without a default, so that a command does not take back what stands before its name.
        self.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help="show the traceback of an error"
        )

    def add_argument(self, *names: Any, **settings: Any) -> argparse.Action:
        """Add an argument; see `argparse`."""
        if settings.get("nargs") == "*":
            settings.setdefault("default", [])  # without one argparse lists it among what is required
        action = super().add_argument(*names, **settings)
        self._options += action.option_strings
        if action.nargs == 0:
            self._flags += action.option_strings
        return action

    def add_subparsers(self, **settings: Any) -> argparse._SubParsersAction:
        """Add commands; see `argparse`."""
        self._commands = super().add_subparsers(**settings)
        return self._commands

    def flags(self, words: Sequence[str]) -> list[str]:
        """Return the options without a value that the command has which these words name."""
        for place, word in enumerate(words):
            if self._commands is not None and word in self._commands.choices:
                return self._flags + self._commands.choices[word].flags(words[place + 1 :])
        return self._flags

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse; a command refuses what it does not know.

        argparse gives a list of arguments only those before the next option. Its own remedy, intermixed parsing, works
        for a command by itself and not through the parser that has the commands.
        """
        if self._mixing or self.get_default("handler") is None:
            return super().parse_known_args(args, namespace)
        self._mixing = True  # the remedy calls this method in its turn
        try:
            found, unknown = self.parse_known_intermixed_args(args, namespace)
        finally:
            self._mixing = False
        if unknown:
            self.error(_unknown(unknown, self._options))
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """Print one line and exit with 2."""
        text = f"{' '.join(message.split())}; see `{self.prog} --help`"
        report_error(text)
        self.exit(2, f"uso: {text}\n")


def _unknown(words: Sequence[str], options: Sequence[str]) -> str:
    """Say what was not understood, with the option or setting that may have been meant."""
    word = next((word for word in words if word.startswith("-")), words[0])
    if not word.startswith("-"):
        return f"got {word!r} too much"
    name = word.partition("=")[0]
    close = difflib.get_close_matches(name, [option for option in options if option.startswith("--")], n=1, cutoff=0.75)
    if close:
        return f"there is no option {name}, did you mean {close[0]}?"
    bare = name.lstrip("-")
    if "." in bare:
        return f"there is no option {name}; settings have no dashes and an equals sign: {bare}=VALUE"
    setting = same_setting(bare)
    return f"there is no option {name}" + (f"; here it is {setting}" if setting else "")
