"""Data sets of kohya-ss/sd-scripts: folders named `10_name`, and the dataset TOML.

Formats: docs/config_README-en.md; library/config_util.py (generate_dreambooth_subsets_config_by_subdirs).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ....uso_model.errors import UserError
from ....uso_model.untrusted import kind_of, parse_json, quoted, read_text
from .found import Found, Item
from .matching import matched
from .pictures import add_set
from .toml import chained, number_of, read_toml, tables, text_in

__all__ = ["REPEATED", "import_kohya"]

REPEATED = re.compile(r"([0-9]{1,4})_(.*)", re.DOTALL)
"""Name of a folder: repeats and class tokens."""

_KNOWN = {
    "image_dir", "num_repeats", "caption_extension", "class_tokens", "caption_prefix", "caption_suffix", "is_reg",
    "metadata_file", "conditioning_data_dir", "flip_aug", "resolution", "subsets", "batch_size", "cache_info",
    "bucket_no_upscale", "bucket_reso_steps", "enable_bucket", "max_bucket_reso", "min_bucket_reso",
}  # fmt: skip


def import_kohya(source: Path, found: Found) -> None:
    """Find the pictures of a folder of `10_name` folders, or of a dataset TOML; repeats become weights.

    Raises:
        UserError: neither of the two, or a folder that is not there.
    """
    if source.is_dir():
        _folders(source, found)
        return
    values = read_toml(source)
    general = values.get("general", {})
    for dataset, place in tables(values, "datasets", source.name):
        _hints(found, chained(dataset, general))
        for subset, where in tables(dataset, "subsets", place):
            _subset(found, source, chained(subset, dataset, general), where)


def _folders(source: Path, found: Found) -> None:
    subsets = sorted(path for path in source.iterdir() if path.is_dir() and not path.name.startswith("."))
    named = [(path, match) for path in subsets if (match := REPEATED.fullmatch(path.name))]
    if not named:
        raise UserError(
            f"{source} holds no folder named like 10_name, repeats and class; a plain folder of pictures is imported "
            "with `uso import pictures`"
        )
    for path, match in named:
        if int(match[1]) == 0:
            found.skipped["folders of 0 repeats"] += 1
            continue
        add_set(found, path, float(match[1]), caption=match[2].strip(), first_line=True)
    if len(named) < len(subsets):
        found.skipped["folders without repeats in their name"] += len(subsets) - len(named)


def _hints(found: Found, dataset: Mapping[str, Any]) -> None:
    if "resolution" in dataset:
        found.note(f"the set was made for resolution {quoted(dataset['resolution'])}: see data.size")
    if dataset.get("flip_aug"):
        found.note("the set was made with flip_aug: see data.flip")


def _subset(found: Found, source: Path, subset: Mapping[str, Any], place: str) -> None:
    if subset.get("is_reg"):
        found.skipped["regularisation sets (see prior_preservation)"] += 1
        return
    weight = number_of(subset, "num_repeats", place)
    if subset.get("flip_aug"):
        found.note("the set was made with flip_aug: see data.flip")
    found.unused([key for key in subset if key not in _KNOWN], source.name)
    if "metadata_file" in subset:
        _metadata(found, source, subset, place, weight)
        return
    folder = found.folder(source.parent, subset.get("image_dir"), f"{place} image_dir")
    extension, tokens = text_in(subset, "caption_extension", place), text_in(subset, "class_tokens", place)
    change = text_in(subset, "caption_prefix", place), text_in(subset, "caption_suffix", place)
    if "conditioning_data_dir" not in subset:
        add_set(found, folder, weight, tokens, extension or None, change=change, first_line=True)
        return
    control = found.folder(source.parent, subset["conditioning_data_dir"], f"{place} conditioning_data_dir")
    targets = found.listing(folder, caption_extension=extension or None)
    pairs = matched(targets.pictures, control, found.listing(control).pictures, found)
    for target, references in pairs.items():
        if not references:
            found.absent.append(f"{target.name} has no picture of its name in {control}")
            continue
        text = found.caption(targets, target, tokens, extension or None).partition("\n")[0]
        found.items.append(Item(target.absolute(), text, [path.absolute() for path in references], weight=weight))


def _metadata(found: Found, source: Path, subset: Mapping[str, Any], place: str, weight: float) -> None:
    """Add the pictures of a fine-tuning subset: a JSON object of paths, or names, and captions."""
    file = found.place(source.parent, subset["metadata_file"], f"{place} metadata_file")
    if file is None:
        return
    folder = file.parent
    if "image_dir" in subset:
        folder = found.folder(source.parent, subset["image_dir"], f"{place} image_dir")
    entries = parse_json(read_text(file, "correct the path"), file.name)
    if not isinstance(entries, dict):
        raise UserError(f"{file.name} holds {kind_of(entries)}, expected an object of pictures and captions")
    listed = None
    for name, entry in entries.items():
        text = entry.get("caption", "") if isinstance(entry, dict) else None
        tags = entry.get("tags", "") if isinstance(entry, dict) else None
        if not isinstance(text, str) or not isinstance(tags, str):
            raise UserError(
                f"{file.name} has {quoted(name)!r} without texts caption and tags; is this a file of kohya?"
            )
        if not Path(name).suffix and listed is None:  # names without ending, as older versions write them
            listed = {path.stem: path for path in found.listing(folder).pictures}
        picture = (listed or {}).get(Path(name).name) if not Path(name).suffix else None
        picture = picture or found.place(folder, name, file.name)
        if picture is not None:
            prompt = ", ".join(part for part in (text.partition("\n")[0].strip(), tags.strip()) if part)
            found.items.append(Item(picture.absolute(), prompt, group=str(folder), weight=weight))
