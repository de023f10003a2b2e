"""What `uso check` was given: manifests, or a recipe that names manifests, sizes and limits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ...uso_model.images import CONTENT_LONG_SIDE

__all__ = ["Reading", "reading"]

_SIZE = 1024


class Reading(NamedTuple):
    """How the rows would be read."""

    manifests: Sequence[Path]
    sizes: Sequence[int] = (_SIZE,)
    content_size: int = CONTENT_LONG_SIDE
    stage: str | None = None
    """None: unknown."""


def reading(what: Sequence[str], size: int | None = None, content_size: int | None = None) -> Reading:
    """Return how manifests would be read: by a recipe, or with the usual sizes.

    Args:
        what: manifests; or a recipe's name, file or run folder, and `name=value` settings.
        size: instead of the recipe's, or 1024.
        content_size: instead of the recipe's, or 512.

    Raises:
        UserError: there is no such recipe, or one of its settings is wrong.
    """
    from ..recipe_files import load_recipe, recipe_file
    from ..run_folder import CONFIG, read_run

    first = Path(what[0])
    if first.suffix.lower() in (".jsonl", ".json") or (
        first.is_file() and first.suffix.lower() not in (".yaml", ".yml")
    ):
        return Reading([Path(one) for one in what], [size or _SIZE], content_size or CONTENT_LONG_SIDE)
    texts = list(what[1:])
    if (first / CONFIG).is_file():
        config = read_run(first, texts)
    else:
        config = load_recipe(recipe_file(what[0]), texts=texts)
    return Reading(
        [source.path for source in config.data.sources],
        [size] if size else config.data.sizes,
        content_size or config.data.content_size,
        config.stage,
    )
