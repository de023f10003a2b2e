"""`README.md` of an export: how many rows of what, scores, licences, and how the pictures were made.

Format: huggingface.co/docs/hub/datasets-cards (the YAML block in front), and /datasets-manual-configuration.
"""

from __future__ import annotations

import html
import math
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from ....uso_model.untrusted import quoted
from .accepted import Accepted
from .files import Split, split_name
from .places import without_places

__all__ = ["Statistics", "card"]

_BINS = 10
_MOST_LINES = 50
_LICENCES = frozenset(
    {"apache-2.0", "cc-by-4.0", "cc-by-nc-4.0", "cc-by-sa-4.0", "cc-by-nc-sa-4.0", "cc0-1.0", "mit", "openrail"}
)
"""That Hugging Face has an identifier for, as far as pictures have them."""
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


class Statistics:
    """What is counted while rows go by."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.rows = 0
        self.counts: dict[str, Counter[str]] = {name: Counter() for name in ("layout", "licence", "group")}
        self.scores: dict[str, array[float]] = {}

    def add(self, one: Accepted) -> None:
        """Count a row."""
        self.rows += 1
        for name, counter in self.counts.items():
            counter[one.row.layout if name == "layout" else one.about.get(name, "")] += 1
        for name, value in one.row.scores.items():
            if math.isfinite(value):
                self.scores.setdefault(name, array("d")).append(value)


def card(
    found: Statistics,
    splits: Mapping[str, Split],
    made: int,
    recipe: Mapping[str, Any] | None,
    features: list[Any] | None,
) -> str:
    """Return the text of a data card.

    Args:
        found: of all rows.
        splits: with their files.
        made: rows of which these were accepted.
        recipe: how they were made, None where that is not known.
        features: as `dataset_info` has them, None where they are told from the files.
    """
    front = yaml.safe_dump(_front(found, splits, features), sort_keys=False, allow_unicode=True)
    parts = [f"---\n{front}---", "# Triplets", _opening(found.rows, made)]
    parts += ["## Rows", _table(("split", "rows", "MB of pictures"), _of_splits(splits))]
    for name, counter in found.counts.items():
        lines = [(text or "not stated", count) for text, count in counter.most_common(_MOST_LINES)]
        if len(counter) > _MOST_LINES:
            lines.append((f"{len(counter) - _MOST_LINES} others", found.rows - sum(count for _, count in lines)))
        parts.append(_table((_HEADS[name], "rows"), lines))
    if found.scores:
        parts += ["## Scores", _SCORES, _table(_SCORE_HEAD, _of_scores(found.scores))]
    if recipe is not None:
        told = yaml.safe_dump(without_places(recipe), sort_keys=False, allow_unicode=True)
        indented = "".join(f"    {line}\n" for line in told.splitlines())
        parts += ["## How the pictures were made", _RECIPE, indented]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


_HEADS = {"layout": "layout", "licence": "licence", "group": "style group"}
_SCORE_HEAD = ("score", "rows", "lowest", "mean", "highest", f"rows in {_BINS} equal steps from lowest to highest")
_RECIPE = "Every step with the settings that decide its result, and the expressions by which rows were rejected:"
_SCORES = "What each score is stands in `docs/curation.md` of the package that made this set."


def _opening(rows: int, made: int) -> str:
    kept = f" They were chosen of {made} candidates ({rows / made:.1%})." if made > rows else ""
    return (
        f"{rows} triplets of a target, style references and content references, made and chosen with `uso curate`."
        f"{kept} `uso import` and `uso train` of the same package read this folder."
    )


def _front(found: Statistics, splits: Mapping[str, Split], features: list[Any] | None) -> dict[str, Any]:
    files = [{"split": split_name(name), "path": split.pattern} for name, split in splits.items()]
    if len({split.pattern for split in splits.values()}) < len(splits):  # one file for all
        files = [{"split": "train", "path": next(iter(splits.values())).pattern}]
    front: dict[str, Any] = {
        "license": _licence(found.counts["licence"]),
        "task_categories": ["text-to-image", "image-to-image"],
        "size_categories": [next((name for most, name in _SIZES if found.rows < most), "1M<n<10M")],
        "configs": [{"config_name": "default", "data_files": files}],
    }
    if features is not None:
        front["dataset_info"] = {"features": features}
        if len(files) == len(splits):
            front["dataset_info"]["splits"] = [
                {"name": split_name(name), "num_bytes": split.bytes, "num_examples": split.rows}
                for name, split in splits.items()
            ]
    return front


def _licence(counts: Counter[str]) -> str:
    if set(counts) <= {""}:
        return "unknown"
    only = next(iter(counts)).lower() if len(counts) == 1 else ""
    return only if only in _LICENCES else "other"


def _of_splits(splits: Mapping[str, Split]) -> list[tuple[object, ...]]:
    return [(name, split.rows, f"{split.bytes / 1e6:,.1f}") for name, split in splits.items()]


def _of_scores(scores: Mapping[str, array[float]]) -> Iterator[tuple[object, ...]]:
    for name, values in sorted(scores.items()):
        low, high = min(values), max(values)
        bins = [0] * _BINS
        for value in values:
            bins[min(_BINS - 1, int((value - low) / (high - low) * _BINS)) if high > low else 0] += 1
        mean = math.fsum(values) / len(values)
        yield name, len(values), f"{low:.3g}", f"{mean:.3g}", f"{high:.3g}", " ".join(map(str, bins))


def _table(head: tuple[str, ...], lines: Any) -> str:
    rows = ["| " + " | ".join(map(_cell, line)) + " |" for line in lines]
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *rows])


def _cell(value: object) -> str:
    """Return a value that may be a stranger's text as a cell of a table."""
    text = html.escape(quoted(value), quote=False)
    return "".join(f"&#{ord(letter)};" if letter in "|`*[]\\" else letter for letter in text)
