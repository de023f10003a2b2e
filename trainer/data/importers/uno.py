"""Data sets of bytedance/UNO: its training JSON, and the labels of UNO-1M.

Formats: uno/dataset/uno.py (FluxPairedDatasetV2); README, "Training"; the card of bytedance-research/UNO-1M: of a pair
the first picture is the reference and the second the target, with the second's caption.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ....uso_model.errors import UserError
from ....uso_model.untrusted import kind_of, parse_json, quoted, read_text
from .found import Found, Item

__all__ = ["import_uno"]

_BEST_SCORE = 4.0
_IMAGES = ("images", "../images")
"""Where UNO-1M's pictures lie from its labels' folder."""

_UNO = {"prompt", "image_path", "image_paths", "image_tgt_path"}


def import_uno(path: Path, found: Found) -> None:
    """Find the items of UNO's JSON or the pairs of UNO-1M's labels.

    Raises:
        UserError: no list of such items, with the number of the first wrong one.
    """
    items = parse_json(read_text(path, "correct the path"), path.name)
    if not isinstance(items, list):
        raise UserError(f"{path.name} holds {kind_of(items)}, expected a JSON list of items as UNO reads it")
    if found.options.min_score is not None and not any(isinstance(i, dict) and "vlm_filter_cot" in i for i in items):
        raise UserError(f"--min-score is for the labels of UNO-1M, and {path.name} has no vlm_filter_cot")
    for number, item in enumerate(items, start=1):
        place = f"{path.name} item {number}"
        if not isinstance(item, dict):
            raise UserError(f"{place} holds {kind_of(item)} and has no text 'image_tgt_path'; is this UNO's?")
        add = _pair if "img_path1" in item else _item
        add(path.parent, item, place, found)


def _item(folder: Path, item: Mapping[str, Any], place: str, found: Found) -> None:
    target = found.place(folder, _text(item, "image_tgt_path", place), place)
    if "image_path" in item:
        names: Any = [_text(item, "image_path", place)]
    else:
        names = item.get("image_paths")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise UserError(f"{place} has neither image_path nor a list image_paths; is this a file of UNO?")
    references = [found.place(folder, name, place) for name in names]
    prompt = _text(item, "prompt", place)
    there = [path for path in references if path is not None]
    found.unused([key for key in item if key not in _UNO], "items of UNO")
    if target is not None and len(there) == len(references):
        found.items.append(Item(target, prompt.strip(), there))


def _pair(folder: Path, item: Mapping[str, Any], place: str, found: Found) -> None:
    score = item.get("vlm_filter_cot", {}).get("score_final") if isinstance(item.get("vlm_filter_cot"), dict) else None
    scores = {}
    if isinstance(score, (int, float)) and not isinstance(score, bool) and 0 <= score <= _BEST_SCORE:
        scores = {"vlm_filter_cot": float(score)}
    elif score is not None:
        found.skipped["scores out of 0 to 4"] += 1
    least = found.options.min_score
    if least is not None and scores.get("vlm_filter_cot", -math.inf) < least:
        found.skipped[f"pairs below score {least:g}"] += 1
        return
    caption = item.get("caption")
    prompt = caption.get("img_path2") if isinstance(caption, dict) else None
    if not isinstance(prompt, str):
        raise UserError(f"{place} has no caption of img_path2; is this a file of UNO-1M?")
    reference, target = (found.place(folder, item.get(key), place, _IMAGES) for key in ("img_path1", "img_path2"))
    if reference is not None and target is not None:
        found.items.append(Item(target, prompt.strip(), [reference], scores=scores))


def _text(item: Mapping[str, Any], key: str, place: str) -> str:
    if not isinstance(item.get(key), str):
        raise UserError(f"{place} has no text {key!r} ({quoted(item.get(key))}); is this a file of another trainer?")
    return item[key]
