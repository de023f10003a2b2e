"""Short names of protocols, drawers and judges that live elsewhere: whoever puts the commands together knows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

__all__ = ["ShortNames", "spelt_out"]

ShortNames = Mapping[str, str]
"""Name to import path."""


def spelt_out(names: ShortNames) -> Callable[[str], str]:
    """Return a reader of `NAME` or `NAME=FILE` that puts an import path in the place of a short name."""

    def read(text: str) -> str:
        name, equals, rest = text.partition("=")
        return f"{names.get(name, name)}{equals}{rest}"

    return read
