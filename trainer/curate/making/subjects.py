"""What style references show: subjects in classes that come equally often, never what the target shows."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from ....uso_model.errors import UserError
from ....uso_model.untrusted import named, quoted, read_text
from ...reading.values import read_yaml
from .instructions import by_hash

__all__ = ["Subjects", "read_subjects"]

SHIPPED = Path(__file__).parents[1] / "subjects.yaml"
_PLAIN = (
    "and beside between black blue brown for from full green half into its line near off old one open out over red "
    "small that the this three two under white wide with yellow young"
)
"""Words in which two subjects may agree."""


class Subjects:
    """Lists of subjects by class."""

    def __init__(self, classes: Mapping[str, list[str]]):
        """Take classes, none of them empty."""
        self._classes = classes
        self._words = {one: _words(one) for subjects in classes.values() for one in subjects}

    def choose(self, key: str, place: int, row: str, about: Mapping[str, str]) -> str:
        """Return what the style reference of a row shows, nothing where all subjects share a word with the target.

        The classes follow one another over the rows of a picture, in an order that belongs to the picture. So they come
        equally often, and neither more pictures nor more rows of one change what was chosen.

        Args:
            key: of the picture.
            place: of the row among those that may be made of its picture.
            row: its id.
            about: what the source says of the target, whose words `subject` and `prompt` are avoided.
        """
        if not self._classes:
            return ""
        taken = _words(f"{about.get('subject', '')} {about.get('prompt', '')}")
        order = sorted(self._classes, key=lambda name: hashlib.sha256(f"{key}\0{name}".encode()).digest())
        for turn in range(len(order)):
            own = self._classes[order[(place + turn) % len(order)]]
            free = [one for one in own if not self._words[one] & taken]
            if free:
                return by_hash(row, free)
        return ""


def read_subjects(asked: Path | list[str] | None) -> Subjects:
    """Return the subjects of a recipe.

    Args:
        asked: YAML file of classes, text file with a subject a line, the subjects themselves, or None: those that come
            with the package.

    Raises:
        UserError: there are none.
    """
    if isinstance(asked, list):
        return Subjects({one: [one] for one in asked})
    path = asked or SHIPPED
    if path.suffix.lower() not in (".yaml", ".yml"):
        lines = (line.strip() for line in read_text(path, "correct style.subjects").splitlines())
        found = {line: [line] for line in lines if line and not line.startswith("#")}
        if not found:
            raise UserError(f"{named(path)} lists no subject; write one a line")
        return Subjects(found)
    classes = read_yaml(path)
    for name, own in classes.items():
        if not isinstance(own, list) or not own or not all(isinstance(one, str) and one.strip() for one in own):
            raise UserError(f"{named(path)} has {quoted(name)!r} with {quoted(own)!r}, expected a list of subjects")
    return Subjects(classes)


def _words(text: str) -> frozenset[str]:
    """Return the words that say what something is, without the endings of plurals."""
    words = set(re.findall(r"[^\W\d_]{3,}", text.lower())) - set(_PLAIN.split())
    return frozenset(re.sub(r"(?<=[sxh])es$|(?<!s)s$", "", word) for word in words)
