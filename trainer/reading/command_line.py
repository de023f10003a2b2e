"""Words of a command line as their writer meant them, whatever the shell has made of quotes and blanks."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from ...uso_model.errors import UserError
from ...uso_model.untrusted import quoted
from .foreign_paths import foreign_path

__all__ = ["COMMAND_LINE", "require_own_paths", "require_pairs", "unquoted"]

COMMAND_LINE = "the command line"

_NAME = re.compile(r"[\w.-]+")
_IN_QUOTES = re.compile(r"""(?s)([\w.-]+=)(["'])(.*)\2""")


def unquoted(words: Sequence[str], flags: Collection[str] = ()) -> list[str]:
    """Take off the quotes that a shell has left: cmd.exe takes single ones for letters.

    Args:
        words: of a command line; those of `name='value'` and `'word'` lose them. The value of an option may be an
            expression such as `layout='shifted'`, so that it loses only quotes around all of it.
        flags: options without a value.
    """
    found: list[str] = []
    of_option = False
    for word in words:
        option = word
        if len(word) > 1 and word[0] == word[-1] == "'" and "'" not in word[1:-1]:
            word = word[1:-1]
        pair = None if of_option else _IN_QUOTES.fullmatch(word)
        found.append(pair[1] + pair[3] if pair and pair[2] not in pair[3] else word)
        of_option = option.startswith("--") and "=" not in option and option not in flags
    return found


def require_own_paths(words: Sequence[str]) -> None:
    """Make sure that no word of a command line is a path of another system.

    Raises:
        UserError: one has a drive of Windows, and this is another system; or the other way round.
    """
    for word in words:
        name, _, value = word.partition("=")
        told = foreign_path(value if value and _NAME.fullmatch(name) else word, certain=True)
        if told is not None:
            raise UserError(told)


def require_pairs(texts: Sequence[str]) -> None:
    """Make sure that the settings of a command line are `name=value`.

    Raises:
        UserError: one is not, with what may have parted it.
    """
    for place, text in enumerate(texts):
        name, separator, _ = text.partition("=")
        if name and separator:
            continue
        before, after = "".join(texts[place - 1 : place]), "".join(texts[place + 1 : place + 2])
        if after.startswith("="):  # `loop.steps =5` and `loop.steps = 5`
            value = after if after != "=" else after + "".join(texts[place + 2 : place + 3])
            hint = f"leave out the blank before the equals sign: {quoted(text + value)}"
        elif before.endswith("="):
            hint = f"leave out the blank after the equals sign: {quoted(before + text)}"
        elif before.partition("=")[2][:1] == "'":
            hint = 'cmd.exe parts what stands in single quotes; use double ones, as in data="my pictures"'
        elif "=" in before and name:
            name, _, value = before.partition("=")
            hint = f'put a value with blanks in double quotes: {quoted(name)}="{quoted(f"{value} {text}")}"'
        else:
            hint = "for example loop.steps=200"
        raise UserError(f"{COMMAND_LINE} holds {quoted(text)!r}, expected name=value; {hint}")
