"""Items become rows: ids, references, triggers, splits."""

from __future__ import annotations

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

from ....uso_model.errors import UserError
from ....uso_model.untrusted import quoted
from ..manifest import Row
from ..sources import TRAIN, VALIDATION
from .found import Found, Item

__all__ = ["rows_of"]

_PARTNERS = 16
_MOST_PAIRS = 200_000
_TRIGGERS = ("[trigger]", "[name]")


def rows_of(found: Found, source: Path) -> list[Row]:
    """Return the rows of what an importer has found, with absolute paths.

    Where a data set states no references, the references of a picture are the sixteen of its set that follow it in the
    order of names, or all others where there are fewer: as styles in one row, of which training draws, as contents in a
    row each (fewer of a set so large that there would be more than 200,000 rows).

    Args:
        found: items and options.
        source: what was imported; the name of its folder begins every id.

    Raises:
        UserError: nothing was found, a picture is absent, or it was not said what the references are.
    """
    found.require_all()
    if not found.items:
        raise UserError(f"{source} holds no row; check the source")
    folder = source if source.is_dir() else source.parent
    made = _Rows(found, Path(os.path.abspath(folder)))
    groups: dict[str, list[Item]] = defaultdict(list)
    for item in found.items:
        groups[item.group].append(item)
    for items in groups.values():
        made.add_group(items)
    return made.rows


class _Rows:
    def __init__(self, found: Found, folder: Path):
        self.rows: list[Row] = []
        self._found, self._options, self._folder = found, found.options, folder
        self._seen: set[str] = set()
        self._numbers: defaultdict[str, Iterator[int]] = defaultdict(lambda: count(2))

    def add_group(self, items: Sequence[Item]) -> None:
        """Add the rows of a set of pictures."""
        alone = [item for item in items if item.references is None and not item.style]
        if alone and self._options.reference is None:
            raise UserError(
                f"{alone[0].target.parent} states no references, so its pictures become references of one another: say "
                "what they share with --reference style, or --reference content for one subject"
            )
        if len(alone) == 1:
            where = alone[0].target.parent
            raise UserError(f"{where} holds one picture; a reference has to be another one, so put two or more there")
        paths = [item.target for item in alone]
        style = self._options.reference == "style"
        most = _PARTNERS if style else max(1, min(_PARTNERS, _MOST_PAIRS // max(1, len(alone))))
        number = 0
        for item in items:
            self._found.captioned += bool(item.prompt)
            if item.references is not None or item.style:
                self._add(item, item.references or ())
                continue
            number += 1
            others = (paths[number : number + most] + paths[: max(0, number + most - len(paths))])[:most]
            others = [other for other in others if other is not item.target][: len(paths) - 1]
            for references in [others] if style else [[other] for other in others]:
                self._add(item, references)

    def _add(self, item: Item, references: Sequence[Path]) -> None:
        name = self._name(item.target)
        styles, contents = list(item.style), list(references)
        if self._options.reference == "style":
            styles, contents = styles + contents, []
        row_id = name
        while row_id in self._seen:
            row_id = f"{name}#{next(self._numbers[name])}"
        self._seen.add(row_id)
        self.rows.append(
            Row(
                id=row_id,
                target=item.target,
                style=styles,
                content=contents or None,
                prompt=self._prompt(item.prompt, self._options.trigger or item.trigger),
                weight=item.weight,
                scores=dict(item.scores),
                split=item.split or self._split(name),
            )
        )

    def _name(self, target: Path) -> str:
        """Return an id: folder of the data set and place in it."""
        try:
            place = target.relative_to(self._folder)
        except ValueError:
            return f"{target.parent.name}/{target.stem}"
        if not place.name:
            raise UserError(f"{quoted(target)} is no file; is this the right source?")
        return (Path(self._folder.name) / place.with_suffix("")).as_posix()

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
