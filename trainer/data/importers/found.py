"""What every importer finds and says: items, captions, what was left out, and what was named and is not there."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ....uso_model.errors import UserError
from ....uso_model.untrusted import quoted, read_text
from ..manifest import Layout, Row
from ..roots import foreign
from .listing import Listing, listing

__all__ = ["Found", "Item", "Options", "Reference", "text_of"]

Reference = Literal["content", "style"]
"""What the reference pictures of a data set are to USO."""

_LISTED = 5


@dataclass(frozen=True)
class Options:
    """What the command line says of an import."""

    reference: Reference | None = None
    """What the references are; None: contents where the data set states references, else it must be said."""
    control: tuple[Path, ...] = ()
    """Folders of references, where the data set is a folder of targets."""
    caption_extension: str | None = None
    """None: `.txt`, or what the data set's own file says."""
    caption_column: str | None = None
    """Of `metadata.jsonl` and `metadata.csv`; None: `text`, `caption` or `prompt`."""
    caption: str | None = None
    """For pictures without a caption."""
    trigger: str | None = None
    """Word that stands in every caption: for `[trigger]`, else in front."""
    recursive: bool = False
    """Look into sub-folders, where the trainer itself does not."""
    split: float = 0.0
    """Share of the targets that becomes validation."""
    skip_missing: bool = False
    """Leave out what names pictures that are not there."""
    min_score: float | None = None
    """Least `score_final` of UNO-1M's pairs."""
    unpacked: Path | None = None
    """Folder for pictures that are in archives; None: `pictures` beside the data set."""


class Item(NamedTuple):
    """One target and what belongs to it."""

    target: Path
    prompt: str = ""
    references: Sequence[Path] | None = None
    """Of the kind that `Options.reference` says. None: other pictures of the same set."""
    style: Sequence[Path] = ()
    """Style references where the data set tells them from others."""
    group: str = ""
    """Pictures of one set share a style or a subject."""
    weight: float = 1.0
    scores: Mapping[str, float] = {}
    split: str | None = None
    """None: by `Options.split`."""
    trigger: str | None = None
    """Where `Options.trigger` is none."""
    id: str = ""
    """Empty: made of the target's path."""
    layout: Layout = "shifted"
    number: int | None = None
    """Place in the manifest that an export was made of."""

    @classmethod
    def of(cls, row: Row) -> Item:
        """Return the item that becomes a row of another manifest or an export."""
        return cls(
            row.target,
            row.prompt,
            row.contents,
            row.style,
            weight=row.weight,
            scores=row.scores,
            split=row.split,
            id=row.id,
            layout=row.layout,
        )


@dataclass
class Found:
    """What an importer has found."""

    options: Options
    items: list[Item] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    """What was left out and how often."""
    notes: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    """Sentences on what is named and is not there."""
    shared: dict[str, dict[Path, list[Path]]] = field(default_factory=dict)
    """Captions and references that targets of one stem have found, and these targets."""

    def listing(self, folder: Path, recursive: bool = False, caption_extension: str | None = None) -> Listing:
        """Return the pictures of a folder; what is left out is counted.

        Raises:
            UserError: see `listing`.
        """
        extension = self.options.caption_extension or caption_extension or ".txt"
        found = listing(folder, recursive or self.options.recursive, extension)
        self.skipped += found.skipped
        return found

    def caption(self, pictures: Listing, picture: Path, default: str = "", caption_extension: str | None = None) -> str:
        """Return the caption beside a picture, or what stands in where there is none.

        Raises:
            UserError: the caption is no UTF-8 text.
        """
        extension = self.options.caption_extension or caption_extension or ".txt"
        file = pictures.caption_file(picture, extension)
        if file is not None and picture in pictures.alike:
            self.share("caption", file, picture)
        return (text_of(file) if file else "") or default

    def share(self, what: str, file: Path, target: Path) -> None:
        """Remember that a target has found a file that another one of its stem may find too."""
        self.shared.setdefault(what, {}).setdefault(file, []).append(target)

    def note(self, text: str) -> None:
        """Say something once."""
        if text not in self.notes:
            self.notes.append(text)

    def unused(self, keys: Sequence[str], where: str) -> None:
        """Name keys of a file that mean nothing here."""
        if keys:
            self.note(f"{where}: not used are {', '.join(map(quoted, sorted(keys)))}")

    def place(self, beside: Path, name: Any, place: str, also: Sequence[str] = ()) -> Path | None:
        """Return the file that a data set names; where it is not there, say so and return None.

        Args:
            beside: folder of the data set's file. Trainers read relative paths from their working folder, which is
                looked into second.
            name: path as it stands in the file.
            place: where it stands, for the message.
            also: folders in `beside` that are looked into too.

        Raises:
            UserError: it is no text.
        """
        if not isinstance(name, str) or not name:
            raise UserError(f"{place} names {quoted(name)!r}, expected the path of a picture")
        for path in (beside / name, *(beside / folder / name for folder in also), Path(name)):
            if _is(Path.is_file, path):
                return Path(os.path.normpath(path.absolute()))
        if foreign(name):
            how = "a path of Windows; write paths as they are on this machine, with /"
        elif Path(name).is_absolute():
            how = "which is not there; write the paths as they are on this machine"
        else:
            how = f"which is not in {beside}"
        self.absent.append(f"{place} names {quoted(name)}, {how}")
        return None

    def folder(self, beside: Path, name: Any, place: str) -> Path:
        """Return a folder that a data set's file names.

        Raises:
            UserError: it is no text, or not there.
        """
        if not isinstance(name, str) or not name:
            raise UserError(f"{place} is {quoted(name)!r}, expected the path of a folder")
        for path in (beside / name, Path(name)):
            if _is(Path.is_dir, path):
                return Path(os.path.normpath(path.absolute()))
        how = "a path of Windows" if foreign(name) else "no folder on this machine"
        raise UserError(f"{place} is {quoted(name)}, {how}; write the path as it is here")

    def require_all(self) -> None:
        """Refuse or count what was named and is not there.

        Raises:
            UserError: something is absent and `Options.skip_missing` is off.
        """
        if not self.absent:
            return
        if self.options.skip_missing:
            self.skipped["rows whose pictures are not all there"] += len(self.absent)
            return
        more = f"; and {len(self.absent) - _LISTED} more" if len(self.absent) > _LISTED else ""
        raise UserError(
            f"{'; '.join(self.absent[:_LISTED])}{more}. Put the files there, or leave such rows out with --skip-missing"
        )


def _is(kind: Callable[[Path], bool], path: Path) -> bool:
    try:
        return kind(path)
    except (OSError, ValueError):  # a name that no file can have
        return False


def text_of(path: Path) -> str:
    """Return the text of a caption file.

    Raises:
        UserError: it is no UTF-8 text.
    """
    return read_text(path, "correct the path").strip()
