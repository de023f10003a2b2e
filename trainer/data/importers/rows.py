"""Items become rows: ids, references, triggers, splits."""

from __future__ import annotations

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

from pydantic import ValidationError

from ....uso_model.errors import UserError
from ....uso_model.untrusted import quoted
from ..manifest import Row
from ..sources import TRAIN, VALIDATION
from .found import Found, Item

__all__ = ["Rows"]

_PARTNERS = 16
_MOST_PAIRS = 200_000
_TRIGGERS = ("[trigger]", "[name]")


class Rows:
    """The rows of what an importer has found, made anew each time that they are gone through.

    Where a data set states no references, the references of a picture are the sixteen of its set that follow it in the
    order of names, or all others where there are fewer: as styles in one row, of which training draws, as contents in a
    row each (fewer of a set so large that there would be more than 200,000 rows).
    """

    def __init__(self, found: Found, source: Path):
        """Check that there is something, and that it was said what it is.

        Args:
            found: items and options.
            source: what was imported; the name of its folder begins every id.

        Raises:
            UserError: nothing was found, a picture is absent, or it was not said what the references are.
        """
        found.require_all()
        if not found.items:
            raise UserError(f"{source} holds no row; check the source")
        self._options = found.options
        self._folder = os.path.abspath(source if source.is_dir() else source.parent)
        self._groups: dict[str, list[Item]] = defaultdict(list)
        for item in found.items:
            self._groups[item.group].append(item)
        for items in self._groups.values():
            self._require_partners([item for item in items if _is_alone(item)])

    def __len__(self) -> int:
        """Return how many rows there are."""
        return sum(1 for items in self._groups.values() for _ in self._with_references(items))

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows, with absolute paths."""
        seen: set[str] = set()
        numbers: defaultdict[str, Iterator[int]] = defaultdict(lambda: count(2))
        for items in self._groups.values():
            for item, references in self._with_references(items):
                name = item.id or self._name(item.target)
                row_id = name
                while row_id in seen:
                    row_id = f"{name}#{next(numbers[name])}"
                seen.add(row_id)
                yield self._row(item, references, row_id, name)

    def _require_partners(self, alone: Sequence[Item]) -> None:
        if alone and self._options.reference is None:
            raise UserError(
                f"{alone[0].target.parent} states no references, so its pictures become references of one another: say "
                "what they share with --reference style, or --reference content for one subject"
            )
        if len(alone) == 1:
            where = alone[0].target.parent
            raise UserError(f"{where} holds one picture; a reference has to be another one, so put two or more there")

    def _with_references(self, items: Sequence[Item]) -> Iterator[tuple[Item, Sequence[Path]]]:
        """Yield the items of a set with the references of a row; an item may come several times."""
        paths = [item.target for item in items if _is_alone(item)]
        style = self._options.reference == "style"
        most = min(_PARTNERS if style else max(1, min(_PARTNERS, _MOST_PAIRS // max(1, len(paths)))), len(paths) - 1)
        number = 0
        for item in items:
            if not _is_alone(item):
                yield item, item.references or ()
                continue
            number += 1
            others = [*paths[number : number + most], *paths[: max(0, number + most - len(paths))]]
            for references in [others] if style else [[other] for other in others]:
                yield item, references

    def _row(self, item: Item, references: Sequence[Path], row_id: str, name: str) -> Row:
        styles, contents = list(item.style), list(references)
        if self._options.reference == "style":
            styles, contents = styles + contents, []
        try:
            return Row(
                id=row_id,
                target=item.target,
                style=styles,
                content=contents or None,
                prompt=self._prompt(item.prompt, self._options.trigger or item.trigger),
                layout=item.layout,
                weight=item.weight,
                scores=dict(item.scores),
                split=self._split(name) if item.split is None else item.split,
            )
        except ValidationError as error:  # half a character in a caption, for one
            reason = error.errors()[0]
            what = ".".join(map(str, reason["loc"]))
            raise UserError(f"{item.target} makes no row: {what}: {quoted(reason['msg'])}; correct it") from error

    def _name(self, target: Path) -> str:
        """Return an id: folder of the data set and place in it."""
        path, name = os.path.splitext(target)[0], os.path.basename(self._folder)
        if path.startswith(self._folder + os.sep):
            return f"{name}{path[len(self._folder) :]}".replace(os.sep, "/")
        return f"{target.parent.name}/{target.stem}"

    def _prompt(self, caption: str, word: str | None) -> str:
        caption = caption or self._options.caption or ""
        if word is None:
            return caption
        for mark in _TRIGGERS:
            caption = caption.replace(mark, word)
        if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", caption):
            return caption
        return f"{word}, {caption}" if caption else word

    def _split(self, name: str) -> str:
        """Return the split of a target, by the hash of its id: it stays when others come or go."""
        digest = hashlib.sha256(name.encode()).digest()
        return VALIDATION if int.from_bytes(digest[:8], "big") < self._options.split * 2**64 else TRAIN


def _is_alone(item: Item) -> bool:
    """Whether the other pictures of its set become the references of an item."""
    return item.references is None and not item.style
