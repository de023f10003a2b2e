"""What `uso check` was given: manifests, or a recipe that names manifests, sizes and tokenizers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ...uso_model.images import CONTENT_LONG_SIDE
from ..encoders.interface import CountTokens
from ..family import token_counter
from ..run_folder import open_recipe
from ..settings.data import DataConfig

__all__ = ["Reading", "reading"]

_SIZE = 1024
_RECIPES = (".yaml", ".yml")


class Reading(NamedTuple):
    """How rows would be read: the arguments of `check`."""

    manifests: Sequence[Path]
    sizes: Sequence[int]
    content_size: int
    tokens: CountTokens | None = None
    data: DataConfig | None = None
    """For masks; None: there are none."""


def reading(what: Sequence[str], size: int | None = None, content_size: int | None = None) -> Reading:
    """Return how manifests would be read: by a recipe, or with the usual sizes.

    Args:
        what: manifests; or a recipe's name, file or run folder, and `name=value` settings.
        size: instead of the recipe's, or 1024.
        content_size: instead of the recipe's, or 512.

    Raises:
        UserError: there is no such recipe, or one of its settings is wrong.
    """
    first = Path(what[0])
    if first.suffix.lower() == ".jsonl" or (first.is_file() and first.suffix.lower() not in _RECIPES):
        return Reading([Path(one) for one in what], [size or _SIZE], content_size or CONTENT_LONG_SIDE)
    config = open_recipe(what[0], what[1:])
    return Reading(
        [source.path for source in config.data.sources],
        [size] if size else config.data.sizes,
        content_size or config.data.content_size,
        token_counter(config),
        config.data,
    )
