"""The pictures of a source, whatever it is."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from ....uso_model.errors import UserError
from ....uso_model.untrusted import named, quoted
from ...data.names import MANIFEST, PICTURES
from ...engine.telling import telling
from ..recipe import SourceSettings
from .folder import folder_pictures, is_made_here, looks_like_a_picture
from .manifest import manifest_pictures
from .parquet import parquet_pictures
from .source import FOLDER, NO_TEXT, Picture, is_text
from .webdataset import webdataset_pictures

__all__ = ["AUTO", "KINDS", "kind_of_source", "require_apart", "source_pictures"]

AUTO = "auto"
KINDS: dict[str, Callable[[Path, str], Iterator[Picture | str]]] = {
    "folder": folder_pictures,
    "manifest": manifest_pictures,
    "parquet": parquet_pictures,
    "webdataset": webdataset_pictures,
}
_ENDINGS = {".jsonl": "manifest", ".parquet": "parquet", ".tar": "webdataset"}
_TOLD = 20

logger = logging.getLogger(__name__)


def source_pictures(settings: SourceSettings) -> dict[str, Picture]:
    """Return the pictures of a source by their keys, in its order; what is refused is told in the log.

    Raises:
        UserError: there is no source, its kind is not plain, or it has no picture.
    """
    kind = kind_of_source(settings.path) if settings.kind == AUTO else settings.kind
    if kind not in KINDS:
        raise UserError(f"source.kind is {kind!r}, expected {AUTO} or one of {', '.join(KINDS)}")
    found: dict[str, Picture] = {}
    refused: list[str] = []
    with telling(f"looking for pictures in {named(settings.path)}"):
        for one in KINDS[kind](settings.path, settings.style):
            if isinstance(one, str):
                refused.append(one)
            elif not is_text(one.key):  # of an archive, or of a folder on the way
                refused.append(f"{quoted(one.key)} {NO_TEXT}")
            elif one.key in found:
                refused.append(f"{quoted(one.key)} is there twice; the first one is taken")
            else:
                found[one.key] = _licensed(one, settings.licence)
    for text in refused[:_TOLD]:
        logger.warning("source: %s", text)
    if len(refused) > _TOLD:
        logger.warning("source: and %d more", len(refused) - _TOLD)
    if not found:
        raise UserError(f"{named(settings.path)} has no picture that can be used; correct source.path or source.kind")
    if settings.style != FOLDER and not any("style" in one.about for one in found.values()):
        logger.warning("source: no picture has %s, so that none has a style group", quoted(settings.style))
    return found


def _licensed(picture: Picture, licence: str) -> Picture:
    """Return a picture with a licence where the source states none."""
    if not licence or "licence" in picture.about:
        return picture
    return picture._replace(about={**picture.about, "licence": licence})


def require_apart(run: Path, source: Path) -> None:
    """Make sure that a run does not become its own source.

    Raises:
        UserError: the source is the folder of the run, or what the run has made in it.
    """
    if _is_of_run(run, source):
        raise UserError(
            f"{named(source)} is of the run {named(run)} itself, whose pictures would become its source; name another "
            "folder for the run"
        )


def _is_of_run(run: Path, source: Path) -> bool:
    def same(one: Path, other: Path) -> bool:
        return one.exists() and other.exists() and one.samefile(other)

    try:
        place = source.resolve()
        return any(same(place, one) for one in (run, run / MANIFEST)) or any(
            same(one, run / PICTURES) for one in (place, *place.parents)
        )
    except (OSError, ValueError, RuntimeError):  # told by whoever opens them
        return False


def kind_of_source(path: Path) -> str:
    """Return what a source is: by its ending, or by what a folder holds.

    Raises:
        UserError: it is not there, or could be several.
    """
    if not path.is_dir():
        kind = _ENDINGS.get(path.suffix.lower())
        if not path.exists():
            raise UserError(f"{named(path)} is not there; correct source.path")
        if kind is None:
            raise UserError(f"{named(path)} is of no known kind; name it with source.kind, one of {', '.join(KINDS)}")
        return kind
    if (path / MANIFEST).is_file():
        return "manifest"
    endings: set[str] = set()
    pictures = False
    for folder, folders, files in os.walk(path):
        if folder != str(path) and is_made_here({*folders, *files}):
            folders.clear()
            continue
        folders[:] = [name for name in folders if not name.startswith(".")]
        visible = [name for name in files if not name.startswith(".")]
        endings |= {os.path.splitext(name)[1].lower() for name in visible} & {".parquet", ".tar"}
        pictures = pictures or any(map(looks_like_a_picture, visible))
    kinds = [_ENDINGS[ending] for ending in sorted(endings)] + (["folder"] if pictures else [])
    if len(kinds) > 1:
        raise UserError(f"{named(path)} could be {' or '.join(kinds)}; say which with source.kind")
    return kinds[0] if kinds else "folder"
