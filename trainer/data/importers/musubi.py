"""Data sets of kohya-ss/musubi-tuner: the dataset TOML, JSON Lines, folders with a folder of controls.

Formats: docs/dataset_config.md; src/musubi_tuner/dataset/datasources.py (how controls are matched by name).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ....uso_model.errors import UserError
from ....uso_model.untrusted import json_lines, kind_of, quoted
from .found import Found, Item
from .matching import matched
from .pictures import add_set
from .toml import chained, number_of, read_toml, tables, text_in

__all__ = ["import_musubi"]

_CONTROL = re.compile(r"control_path(?:_([0-9]{1,6}))?")
_LAYERS = re.compile(r"image_path_[0-9]{1,6}")
_VIDEO = ("video_directory", "video_jsonl_file")
_KNOWN = {
    "image_directory", "image_jsonl_file", "control_directory", "caption_extension", "num_repeats", "resolution",
    "control_count_per_image", "multiple_target", "cache_directory", "batch_size", "enable_bucket",
    "bucket_no_upscale", "no_resize_control", "control_resolution", "flux_kontext_no_resize_control",
    "qwen_image_edit_no_resize_control", "qwen_image_edit_control_resolution",
}  # fmt: skip


def import_musubi(source: Path, found: Found) -> None:
    """Find what a TOML, JSON Lines, or a folder of targets with `Options.control` names.

    Raises:
        UserError: none of the three, or what it names is not there.
    """
    if source.is_dir():
        if len(found.options.control) != 1:
            raise UserError("a musubi folder needs the folder of its controls: name one with --control")
        add_controlled(found, source, found.options.control[0])
    elif source.suffix.lower() == ".toml":
        _toml(source, found)
    else:
        _lines(source, found)


def _toml(source: Path, found: Found) -> None:
    values = read_toml(source)
    for table, place in tables(values, "datasets", source.name):
        dataset = chained(table, values.get("general", {}))
        if any(name in dataset for name in _VIDEO):
            found.skipped["data sets of videos"] += 1
            continue
        if dataset.get("multiple_target"):
            raise UserError(f"{place} has multiple_target, layers of a picture; USO learns one target a row")
        found.unused([key for key in dataset if key not in _KNOWN], source.name)
        if "resolution" in dataset:
            found.note(f"the set was made for resolution {quoted(dataset['resolution'])}: see data.size")
        weight = number_of(dataset, "num_repeats", place)
        count = int(number_of(dataset, "control_count_per_image", place, default=0))
        if "image_jsonl_file" in dataset:
            file = found.place(source.parent, dataset["image_jsonl_file"], f"{place} image_jsonl_file")
            if file is not None:
                _lines(file, found, weight, count)
            continue
        folder = found.folder(source.parent, dataset.get("image_directory"), f"{place} image_directory")
        extension = text_in(dataset, "caption_extension", place) or None
        if "control_directory" in dataset:
            control = found.folder(source.parent, dataset["control_directory"], f"{place} control_directory")
            add_controlled(found, folder, control, weight, extension, count)
        else:
            add_set(found, folder, weight, caption_extension=extension)


def add_controlled(
    found: Found,
    folder: Path,
    control: Path,
    weight: float = 1.0,
    caption_extension: str | None = None,
    count: int = 0,
) -> None:
    """Add the pictures of a folder with those that belong to them in another: `a.png`, or `a_0.png`, `a_1.png`.

    Args:
        found: what is added to.
        folder: of the targets.
        control: of the references.
        weight: how often they come.
        caption_extension: ending of the captions' files.
        count: references of each; 0: as many as there are.

    Raises:
        UserError: a folder is absent, or more than one picture could be meant.
    """
    targets = found.listing(folder, caption_extension=caption_extension)
    base = folder if found.options.recursive else None
    pairs = matched(targets.pictures, control, found.listing(control).pictures, found, base)
    for target, references in pairs.items():
        if len(references) < max(1, count):
            wanted = f"{count} pictures" if count > 1 else "no picture"
            has = f", expected {wanted}" if references else ""
            found.absent.append(f"{target.name} has {len(references) or 'no'} picture of its name in {control}{has}")
            continue
        text = found.caption(targets, target, caption_extension=caption_extension)
        chosen = [path.absolute() for path in (references[:count] if count else references)]
        found.items.append(Item(target.absolute(), text, chosen, weight=weight))


def _lines(path: Path, found: Found, weight: float = 1.0, count: int = 0) -> None:
    """Add the lines of JSON Lines: `image_path`, `caption`, `control_path` or `control_path_0..n`."""
    items = []
    for line in json_lines(path):
        if line.problem is not None:
            raise UserError(line.problem)
        item, place = line.value, line.place
        if not isinstance(item, dict):
            raise UserError(f"{place} holds {kind_of(item)}, expected an object; is this a file of musubi?")
        if sum(bool(_LAYERS.fullmatch(key)) for key in item) > 1:
            raise UserError(f"{place} has several image_path, layers of a picture; USO learns one target a row")
        if "video_path" in item:
            found.skipped["videos"] += 1
            continue
        key = next((key for key in item if key == "image_path" or _LAYERS.fullmatch(key)), "image_path")
        if not isinstance(item.get(key), str):
            raise UserError(f"{place} has no text 'image_path'; is this a file of musubi?")
        target = found.place(path.parent, item[key], place)
        references = _controls(found, path.parent, item, place)
        caption = item.get("caption")
        if not isinstance(caption, str | None):
            raise UserError(f"{place} has caption = {quoted(caption)}, expected a text")
        if target is None or references is None:
            continue
        if len(references) < count:
            found.absent.append(f"{place} has {len(references)} controls, expected {count}")
            continue
        known = {key, "caption", *(name for name in item if _CONTROL.fullmatch(name))}
        found.unused([name for name in item if name not in known], path.name)
        chosen = references[:count] if count else references
        items.append(Item(target, (caption or "").strip(), chosen, group=str(path), weight=weight))
    if not any(item.references for item in items):
        items = [item._replace(references=None) for item in items]
    found.items += items


def _controls(found: Found, folder: Path, item: Mapping[str, Any], place: str) -> list[Path] | None:
    """Return the references of a line, None where one is not there; null is none."""
    keys = [(int(match[1] or 0), key) for key in item if (match := _CONTROL.fullmatch(key))]
    paths: list[Path] = []
    whole = True
    for _, key in sorted(keys):
        value = item[key]
        if value is None:
            continue
        if not isinstance(value, str):
            raise UserError(f"{place} has no text {key!r}; several controls are control_path_0, control_path_1, ...")
        path = found.place(folder, value, place)
        whole = whole and path is not None
        paths += [] if path is None else [path]
    return paths if whole else None
