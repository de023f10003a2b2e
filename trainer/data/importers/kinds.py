"""Which importer reads which kind of data set, and which kind a source is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ....uso_model.errors import UserError
from ....uso_model.picture_formats import PICTURE_SUFFIXES
from ....uso_model.untrusted import json_lines, named, parse_json, quoted, read_text
from ...reading.values import read_yaml
from ..names import MANIFEST
from ..parquet import ENDING as PARQUET
from ..sources import TRAIN
from ..tars import ENDING as TAR
from .ai_toolkit import import_ai_toolkit
from .folders import import_folders, part
from .found import Found, Options
from .imagefolder import import_imagefolder, metadata_files
from .kohya import REPEATED, import_kohya
from .listing import counted
from .manifest import import_manifest
from .musubi import import_musubi
from .parquet import import_parquet
from .pictures import import_pictures
from .rows import Rows
from .simpletuner import import_simpletuner
from .toml import read_toml
from .uno import import_uno
from .webdataset import import_webdataset

__all__ = ["AUTO", "KINDS", "Imported", "detected", "import_rows"]

AUTO = "auto"
"""The kind that is found out."""

KINDS: dict[str, Callable[[Path, Found], None]] = {
    "ai-toolkit": import_ai_toolkit,
    "folders": import_folders,
    "imagefolder": import_imagefolder,
    "kohya": import_kohya,
    "manifest": import_manifest,
    "musubi": import_musubi,
    "parquet": import_parquet,
    "pictures": import_pictures,
    "simpletuner": import_simpletuner,
    "uno": import_uno,
    "webdataset": import_webdataset,
}

_WITH_CONTROL = ("ai-toolkit", "musubi")


_ARCHIVES = {"parquet": PARQUET, "webdataset": TAR}
_LINES = {"musubi": ("image_path", "image_path_0"), "imagefolder": ("file_name",), "manifest": ("target",)}
_LISTS = {"uno": ("image_tgt_path", "img_path1"), "simpletuner": ("instance_data_dir", "dataset_type")}
"""Keys of the first line or the first item by which a kind is known."""


class Imported(NamedTuple):
    """Rows and what is to be said of them."""

    kind: str
    rows: Rows
    """With absolute paths."""
    lines: list[str]


def import_rows(kind: str, source: Path, options: Options | None = None) -> Imported:
    """Return the rows of another trainer's data set.

    Args:
        kind: one of `KINDS`, or `AUTO`.
        source: file or folder.
        options: of the command line.

    Raises:
        UserError: the source is absent, empty or of another format, or something that it names is not there.
    """
    options = options or Options()
    _require_sense(kind, options)
    if not source.exists():
        raise UserError(f"{named(source)} is not there; correct the path")
    if kind == AUTO:
        kind = "ai-toolkit" if source.is_dir() and options.control else detected(source)
    if kind not in KINDS:
        raise UserError(f"got the kind {kind!r}, expected {AUTO} or one of {', '.join(KINDS)}")
    if options.control and not (kind in _WITH_CONTROL and source.is_dir()):
        raise UserError(f"--control is for folders of {' and '.join(_WITH_CONTROL)}; other sets name their references")
    found = Found(options)
    KINDS[kind](source, found)
    rows = Rows(found, source)
    return Imported(kind, rows, _lines(found, rows))


def _require_sense(kind: str, options: Options) -> None:
    if not 0 <= options.split < 1:
        raise UserError(f"got --split {options.split}, expected a share from 0 to below 1, such as 0.1")
    for name, value, only in (
        ("--caption-column", options.caption_column, "imagefolder"),
        ("--min-score", options.min_score, "uno"),
    ):
        if value is not None and kind not in (AUTO, only):
            raise UserError(f"{name} is for data sets of kind {only}, got {kind}")


def _lines(found: Found, rows: Rows) -> list[str]:
    files = sum(found.skipped.values())
    said = [f"{files} skipped: {counted(found.skipped)}"] if files else []
    wanted = [item for item in found.items if item.layout != "preserved"]  # the others are to have none
    captioned = sum(bool(item.prompt) for item in wanted)
    said.append(f"{captioned} of {len(wanted)} pictures have a caption")
    if captioned < len(wanted):
        said[-1] += f"; {_for_the_others(found.options)}"
    said += _shared(found)
    bare = sum(not item.style and item.references is not None and not item.references for item in found.items)
    if bare:
        said.append(f"{bare} rows have no reference: only stage base trains on them")
    held = sum(row.split != TRAIN for row in rows) if found.options.split or found.items[0].split is not None else 0
    if held:
        said.append(f"{held} rows are held out")
    elif found.options.split:
        said.append(f"no row is held out: {len(found.items)} pictures are too few for --split {found.options.split}")
    return said + found.notes


def _for_the_others(options: Options) -> str:
    """Say what pictures without a caption get, or how they would get one."""
    word = "" if options.trigger is None else f"the trigger {quoted(options.trigger)}"
    if options.caption is not None:
        return f"the others get that of --caption{f' and {word}' if word else ''}: {quoted(options.caption)!r}"
    how = "use --caption TEXT, or --caption-extension if theirs do not end in .txt"
    return f"the others get {word} alone; for more {how}" if word else f"for the others {how}"


def _shared(found: Found) -> Iterator[str]:
    """Yield what several targets of one stem have found: it may be that of one of them."""
    for what, files in found.shared.items():
        several = {file: targets for file, targets in files.items() if len(set(targets)) > 1}
        for file, targets in list(several.items())[:1]:
            owners = " and ".join(quoted(target.name) for target in dict.fromkeys(targets))
            more = f" ({len(several)} {what}s are shared so)" if len(several) > 1 else ""
            yield f"{owners} share the {what} {quoted(file.name)}{more}: rename the pictures that it is not for"


def detected(source: Path) -> str:
    """Return the kind of a data set where nothing else could be meant.

    Raises:
        UserError: it is none of them, or could be several.
    """
    found = _of_folder(source) if source.is_dir() else _of_file(source)
    if len(found) == 1:
        return found[0]
    could = f"could be {' or '.join(found)}" if found else "is of no known kind"
    raise UserError(f"{named(source)} {could}; name the kind: {', '.join(KINDS)}")


def _of_folder(folder: Path) -> list[str]:
    try:
        inner = [path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    except OSError as error:
        raise UserError(f"{named(folder)} cannot be read ({error.strerror}); check its permissions") from error
    found = []
    if part(folder, "target") and (part(folder, "style") or part(folder, "content")):
        found.append("folders")
    if metadata_files(folder):
        found.append("imagefolder")
    if inner and all(REPEATED.fullmatch(name) for name in inner):
        found.append("kohya")
    if not found and not any(path.suffix.lower() in PICTURE_SUFFIXES for path in folder.iterdir()):
        found = [kind for kind, ending in _ARCHIVES.items() if next(folder.rglob(f"*{ending}"), None) is not None]
        found = found or (["manifest"] if (folder / MANIFEST).is_file() else [])
    return found or ["pictures"]


def _of_file(path: Path) -> list[str]:
    ending = path.suffix.lower()
    if ending in _ARCHIVES.values():
        return [kind for kind, one in _ARCHIVES.items() if one == ending]
    if ending in (".yaml", ".yml"):
        return ["ai-toolkit"] if isinstance(read_yaml(path).get("config"), dict) else []
    if ending == ".csv":
        return ["imagefolder"]
    if ending == ".toml":
        tables = read_toml(path).get("datasets")
        first = tables[0] if isinstance(tables, list) and tables and isinstance(tables[0], dict) else {}
        return ["kohya"] if "subsets" in first else ["musubi"] if first else []
    if ending == ".jsonl":
        values: list[Any] = [line.value for line in json_lines(path)][:1]
    else:
        values = parse_json(read_text(path, "correct the path"), quoted(path.name))
    first = values[0] if isinstance(values, list) and values and isinstance(values[0], dict) else {}
    signs = _LINES if ending == ".jsonl" else _LISTS
    return [kind for kind, keys in signs.items() if any(key in first for key in keys)]
