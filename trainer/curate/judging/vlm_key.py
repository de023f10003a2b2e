"""The key of an endpoint: read from the environment, sent to the endpoint, and taken out of all that comes back."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Mapping

from ....uso_model.errors import UserError

__all__ = ["Key"]

_KEY = re.compile(r"[!#-\[\]-~]*")
"""Printable ASCII without spaces, double quotes and backslashes, which JSON would write otherwise."""
_HIDDEN = "[key]"
_SHORTEST = 4
"""Of a key that is looked for in texts; shorter ones stand everywhere."""


class Key:
    """A key, or none. It has no text of its own, so that no message can show it by mistake."""

    def __init__(self, variable: str, environment: Mapping[str, str] | None = None):
        """Read an environment variable.

        Raises:
            UserError: it holds what no key can be.
        """
        self.variable = variable
        self._value = (os.environ if environment is None else environment).get(variable, "").strip()
        if not _KEY.fullmatch(self._value):
            raise UserError(
                f"the environment variable {variable} holds no key: it has a space, a quote or a letter that no key "
                "has; set it once more"
            )

    def __bool__(self) -> bool:
        """Whether there is one."""
        return bool(self._value)

    def sent(self) -> str:
        """Return what is sent; servers that need no key take any."""
        return self._value or "none"

    def hidden(self, text: str) -> str:
        """Return a text without the key; servers quote it in their errors, some with letters escaped as JSON can."""
        if len(self._value) < _SHORTEST:
            return text
        with contextlib.suppress(ValueError, RecursionError):
            plain = json.dumps(json.loads(text), ensure_ascii=False)
            text = plain if self._value in plain else text
        return text.replace(self._value, _HIDDEN)
