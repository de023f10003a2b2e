"""Data sets of bghira/SimpleTuner: `multidatabackend.json`, whose sets name the sets of their references.

Formats: documentation/DATALOADER.md; documentation/quickstart/FLUX_KONTEXT.md (conditioning_data).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ....uso_model.errors import UserError
from ....uso_model.untrusted import parse_json, quoted, read_text
from .found import Found, Item
from .listing import Listing
from .matching import matched
from .toml import number_of, text_in

__all__ = ["import_simpletuner"]

_CAPTIONS = ("textfile", "filename", "instanceprompt")
_OTHER_TYPES = ("text_embeds", "image_embeds", "conditioning_image_embeds")


def import_simpletuner(path: Path, found: Found) -> None:
    """Find the pictures of every enabled local image set, with those of their names in the sets that condition it.

    Raises:
        UserError: no list of sets, or one that is not on this machine.
    """
    sets = parse_json(read_text(path, "correct the path"), path.name)
    if not isinstance(sets, list) or not all(isinstance(one, dict) for one in sets):
        raise UserError(f"{path.name} is no JSON list of data sets; is this a multidatabackend.json of SimpleTuner?")
    for number, one in enumerate(sets, start=1):
        if not isinstance(one.get("id"), str):
            raise UserError(f"{path.name} set {number} has id = {quoted(one.get('id'))}, expected a text")
    known = {one["id"]: one for one in sets}
    conditioning = {name for one in sets for name in _conditions(one, path.name)}
    for one in sets:
        place = f"{path.name} set {quoted(one['id'])}"
        kind = one.get("dataset_type", "image")
        if kind in _OTHER_TYPES or kind == "conditioning" or one["id"] in conditioning:
            continue
        if one.get("disabled") or one.get("disable"):
            found.skipped["disabled sets"] += 1
        elif kind != "image":
            found.skipped[f"sets of type {kind}"] += 1
        elif one.get("is_regularisation_data") or one.get("is_regularization_data"):
            found.skipped["regularisation sets (see prior_preservation)"] += 1
        else:
            _set(found, path, one, known, place)


def _conditions(one: Mapping[str, Any], place: str) -> list[Any]:
    """Return the ids of the sets that condition a set."""
    stated = one.get("conditioning_data") or []
    names = stated if isinstance(stated, list) else [stated]
    if not all(isinstance(name, str) for name in names):
        raise UserError(f"{place} has conditioning_data = {quoted(stated)}, expected ids of sets")
    return names


def _folder(found: Found, path: Path, one: Mapping[str, Any], place: str) -> Path:
    if one.get("type", "local") != "local":
        raise UserError(f"{place} is of type {quoted(one['type'])}; only sets of type local can be imported")
    return found.folder(path.parent, one.get("instance_data_dir"), f"{place} instance_data_dir")


def _set(found: Found, path: Path, one: Mapping[str, Any], known: Mapping[Any, Any], place: str) -> None:
    folder = _folder(found, path, one, place)
    targets = found.listing(folder, True)
    controls = []
    for name in _conditions(one, place):
        if name not in known:
            raise UserError(f"{place} names the set {quoted(name)}, which {path.name} does not hold")
        if known[name].get("conditioning_type") == "mask":
            found.note(f"{place}: the masks of {quoted(name)} are not imported")
            continue
        control = _folder(found, path, known[name], f"{path.name} set {quoted(name)}")
        pictures = found.listing(control, True).pictures
        controls.append((control, matched(targets.pictures, control, pictures, found, folder)))
    if "conditioning" in one and not controls:
        found.note(f"{place}: its conditioning is made by SimpleTuner as it trains, and is not imported")
    if "resolution" in one:
        found.note(f"the set was made for resolution {quoted(one['resolution'])}: see data.size")
    weight = number_of(one, "repeats", place, default=0, least=0) + 1  # 0: once
    for target in targets.pictures:
        lacking = [control for control, pairs in controls if not pairs[target]]
        if lacking:
            found.absent.append(f"{target.name} has no picture of the same name in {lacking[0]}")
            continue
        references = [other.absolute() for _, pairs in controls for other in pairs[target]] if controls else None
        text = _caption(found, targets, target, one, place)
        found.items.append(Item(target.absolute(), text, references, group=str(folder), weight=weight))


def _caption(found: Found, targets: Listing, target: Path, one: Mapping[str, Any], place: str) -> str:
    strategy = one.get("caption_strategy", "textfile")
    if strategy not in _CAPTIONS:
        raise UserError(f"{place} has caption_strategy {quoted(strategy)}, expected one of {', '.join(_CAPTIONS)}")
    instance = text_in(one, "instance_prompt", place)
    if strategy == "instanceprompt" or one.get("only_instance_prompt"):
        return instance
    if strategy == "filename":
        text = " ".join(target.stem.replace("_", " ").split())
    else:
        text = found.caption(targets, target)
        if "\n" in text and not one.get("disable_multiline_split"):
            found.note("of captions with several lines, each of which is one to SimpleTuner, the first is taken")
            text = text.partition("\n")[0].strip()
    return f"{instance} {text}".strip() if one.get("prepend_instance_prompt") else text
