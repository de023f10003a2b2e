"""Data sets of ostris/ai-toolkit: its YAML, or a folder of targets with folders of controls of equal names.

Formats: config/examples; toolkit/config_modules.py (DatasetConfig); toolkit/dataloader_mixins.py (captions, controls).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ....uso_model.errors import UserError
from ....uso_model.untrusted import quoted
from ...reading.values import read_yaml
from .found import Found, Item
from .matching import matched
from .pictures import add_set
from .toml import number_of, text_in

__all__ = ["import_ai_toolkit"]

_CONTROLS = ("control_path_1", "control_path_2", "control_path_3")
_USED = {
    "folder_path", "dataset_path", "control_path", *_CONTROLS, "caption_ext", "default_caption", "trigger_word",
    "num_repeats", "resolution", "flip_x", "is_reg", "control_from_same_folder", "num_controls_from_same_folder",
    "cache_latents_to_disk", "cache_latents", "type", "batch_size", "buckets", "bucket_tolerance",
}  # fmt: skip


def import_ai_toolkit(source: Path, found: Found) -> None:
    """Find what a YAML, or a folder of targets with `Options.control`, names.

    Raises:
        UserError: neither of the two, or what it names is not there.
    """
    if source.is_dir():
        if not found.options.control:
            raise UserError("ai-toolkit needs the folder of its references too; name it with --control, several times "
                            "where there are several")  # fmt: skip
        _add(found, source, list(found.options.control), 1.0, "", None, None)
        return
    for dataset, word, place in _datasets(source):
        if dataset.get("is_reg"):
            found.skipped["regularisation sets (see prior_preservation)"] += 1
            continue
        _hints(found, dataset, source.name)
        stated = dataset.get("folder_path") or dataset.get("dataset_path")
        folder = found.folder(source.parent, stated, f"{place} folder_path")
        controls = [found.folder(source.parent, path, f"{place} control_path") for path in _stated(dataset, place)]
        extension = text_in(dataset, "caption_ext", place) or None
        extension = extension if extension is None or extension.startswith(".") else f".{extension}"
        weight = number_of(dataset, "num_repeats", place)
        _add(found, folder, controls, weight, text_in(dataset, "default_caption", place), extension, word)


def _datasets(source: Path) -> Iterator[tuple[Mapping[str, Any], str | None, str]]:
    """Yield the data sets of a configuration with the trigger word that holds for them, and their place."""
    config = read_yaml(source).get("config")
    processes = config.get("process") if isinstance(config, dict) else None
    if not isinstance(processes, list):
        raise UserError(f"{source.name} has no config with a list `process`; is this a file of ai-toolkit?")
    count = 0
    for process in processes:
        datasets = process.get("datasets") if isinstance(process, dict) else None
        for dataset in datasets if isinstance(datasets, list) else ():
            count += 1
            place = f"{source.name} dataset {count}"
            if not isinstance(dataset, dict):
                raise UserError(f"{place} is {quoted(dataset)}, expected settings such as folder_path")
            word = text_in(dataset, "trigger_word", place) or text_in(process, "trigger_word", place)
            yield dataset, word or None, place
    if not count:
        raise UserError(f"{source.name} has no datasets in its process; is this a file of ai-toolkit?")


def _stated(dataset: Mapping[str, Any], place: str) -> list[Any]:
    """Return the folders of controls, which are one, a list, or numbered."""
    numbered = [dataset[key] for key in _CONTROLS if dataset.get(key)]
    if numbered:
        return numbered
    control = dataset.get("control_path") or []
    if dataset.get("control_from_same_folder"):
        if control:
            raise UserError(f"{place} has control_path and control_from_same_folder; keep one of them")
        return []
    return control if isinstance(control, list) else [control]


def _hints(found: Found, dataset: Mapping[str, Any], name: str) -> None:
    if "resolution" in dataset:
        found.note(f"the set was made for resolution {quoted(dataset['resolution'])}: see data.size")
    if dataset.get("flip_x"):
        found.note("the set was made with flip_x: see data.flip")
    found.unused([key for key in dataset if key not in _USED], name)


def _add(
    found: Found,
    folder: Path,
    controls: list[Path],
    weight: float,
    caption: str,
    caption_extension: str | None,
    word: str | None,
) -> None:
    """Add the pictures of a folder and of those inside it, each with those of its name in the folders of controls."""
    if not controls:
        add_set(found, folder, weight, caption, caption_extension, recursive=True, trigger=word)
        return
    targets = found.listing(folder, True, caption_extension)
    sets = []
    for control in controls:
        pictures = found.listing(control, True).pictures
        sets.append((control, matched(targets.pictures, control, pictures, found)))
    for target in targets.pictures:
        lacking = [control for control, pairs in sets if not pairs[target]]
        if lacking:
            found.absent.append(f"{target.name} has no picture of the same name in {lacking[0]}")
            continue
        references = [path.absolute() for _, pairs in sets for path in pairs[target]]
        text = found.caption(targets, target, caption, caption_extension)
        found.items.append(Item(target.absolute(), text, references, weight=weight, trigger=word))
