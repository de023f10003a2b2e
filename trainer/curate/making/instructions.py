"""What experts are told: lists of instructions by family of style, of which a row takes one by its hash."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from pydantic import Field

from ....uso_model.errors import UserError
from ....uso_model.untrusted import quoted
from ...reading.values import load_config, read_yaml
from ...settings.base import Settings
from ..fields import fields_of
from ..steps import Row

__all__ = ["FOLDER", "Instructions", "by_hash", "read_instructions"]

FOLDER = Path(__file__).parents[1] / "instructions"
ANY = "any"
FIELDS = ("subject", "caption", "place", "pose")
NO_SUBJECT = "subject"
"""Where the source does not say what a picture shows."""


class InstructionFile(Settings):
    """A file of instructions."""

    families: dict[str, list[str]]
    """Family to its instructions; those of `any` serve styles of no family that is listed."""
    words: dict[str, list[str]] = Field(default_factory=dict)
    """Words in names of style groups that tell families which families.yaml does not have."""
    places: list[str] = Field(default_factory=list)
    poses: list[str] = Field(default_factory=list)


class Instructions:
    """A list of instructions."""

    def __init__(self, file: InstructionFile, source: str):
        """Check a file of instructions.

        Raises:
            UserError: no instructions for any style, or a field that nothing fills.
        """
        self._file = file
        self._words = {**_families(), **file.words}
        if not file.families.get(ANY) or not all(file.families.values()):
            raise UserError(f"{source} needs instructions under families: any, and for each family that it names")
        unknown = [name for name in file.families if name != ANY and name not in self._words]
        if unknown:
            known = ", ".join([ANY, *self._words])
            raise UserError(f"{source} has the family {quoted(unknown[0])!r}, expected one of {known}, or its `words`")
        for text in (text for texts in file.families.values() for text in texts):
            _check(text, file, source)
        told = json.dumps([file.model_dump(), self._words], sort_keys=True)
        uses_caption = any("{caption}" in text for texts in file.families.values() for text in texts)
        self.reads = ("about.style", *(("about.prompt",) if uses_caption else ()))
        """What it reads of a row, see `StepPlan.reads`, besides the subject."""
        self.hash = hashlib.sha256(told.encode()).hexdigest()[:16]

    def choose(self, row: Row, subject: str = "") -> str:
        """Return the instruction of a row, filled.

        Args:
            row: whose style group, `about["style"]`, says the family, and whose id chooses; `caption` is its prompt.
            subject: what it is about; for de-stylisation without an article.
        """
        file = self._file
        text = by_hash(row.id, file.families.get(self.family(row.about.get("style", "")), file.families[ANY]))
        place, pose = (by_hash(f"{row.id} {what[0]}", what) if what else "" for what in (file.places, file.poses))
        subject = subject or NO_SUBJECT
        return text.format(subject=subject, caption=row.about.get("prompt", "") or subject, place=place, pose=pose)

    def family(self, group: str) -> str:
        """Return the family of a style group by the words in its name."""
        words = set(re.findall(r"[^\W_]+", group.lower()))
        return next(
            (name for name, own in self._words.items() if words & set(own) and name in self._file.families), ANY
        )


def read_instructions(asked: str | list[str], usual: str) -> Instructions:
    """Return the instructions of a recipe.

    Args:
        asked: name of a shipped list, a file, or the instructions themselves; empty: the usual ones.
        usual: name of a shipped list.

    Raises:
        UserError: there are none, or they cannot be used.
    """
    if isinstance(asked, list) and asked:
        return Instructions(InstructionFile(families={ANY: asked}), "the recipe's list of instructions")
    name = str(asked or usual)
    shipped = FOLDER / f"{name}.yaml"
    path = shipped if Path(name).name == name and shipped.is_file() else Path(name)
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in FOLDER.glob("*.yaml") if file.stem != "families"))
        raise UserError(f"there are no instructions {quoted(name)!r}, expected a YAML file, a list, or one of {known}")
    return Instructions(load_config(InstructionFile, path), path.name)


def by_hash(key: str, options: Iterable[str]) -> str:
    """Return the option that a key takes. Another one more, and the key keeps its own unless it takes the new one.

    Source: highest random weight hashing, D. Thaler and C. Ravishankar, 1998.
    """
    return max(options, key=lambda option: hashlib.sha256(f"{key}\0{option}".encode()).digest())


@cache
def _families() -> Mapping[str, list[str]]:
    return read_yaml(FOLDER / "families.yaml")


def _check(text: str, file: InstructionFile, source: str) -> None:
    for field in fields_of(text, FIELDS, source, f"of fields {', '.join(FIELDS)}"):
        if field in ("place", "pose") and not getattr(file, f"{field}s"):
            raise UserError(f"{source} has {quoted(text)!r}, but no list `{field}s`; add it")
