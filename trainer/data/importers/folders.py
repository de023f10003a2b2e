"""Folders `target/`, `style/` and `content/` whose pictures belong together by equal names."""

from __future__ import annotations

from pathlib import Path

from ....uso_model.errors import UserError
from .found import Found, Item
from .matching import matched

__all__ = ["import_folders", "part"]


def part(source: Path, name: str) -> Path | None:
    """Return the folder of one part, whose name may be a plural."""
    return next((source / each for each in (name, f"{name}s") if (source / each).is_dir()), None)


def import_folders(source: Path, found: Found) -> None:
    """Find the pictures of `target/` with those of their names in `style/` and `content/`.

    One of the two may be absent, and so may single pictures in it, but not both of a target. Several references of a
    kind are `a_0.png`, `a_1.png`. Captions lie beside the targets.

    Raises:
        UserError: a folder is absent, or more than one picture could be meant.
    """
    target = part(source, "target")
    kinds = {kind: folder for kind in ("style", "content") if (folder := part(source, kind)) is not None}
    if target is None or not kinds:
        raise UserError(f"{source} lacks the folders target/ and style/ or content/; is it a set of another kind?")
    if found.options.reference is not None:
        raise UserError("--reference is not for folders: style/ and content/ say what their pictures are")
    recursive = found.options.recursive
    targets = found.listing(target)
    pairs = {
        kind: matched(targets.pictures, folder, found.listing(folder).pictures, found, target if recursive else None)
        for kind, folder in kinds.items()
    }
    for picture in targets.pictures:
        style, content = ([path.absolute() for path in pairs.get(k, {}).get(picture, [])] for k in ("style", "content"))
        if not style and not content:
            found.absent.append(f"{picture.name} has no picture of its name in {' or '.join(map(str, kinds.values()))}")
            continue
        found.items.append(Item(picture.absolute(), found.caption(targets, picture), content, style))
