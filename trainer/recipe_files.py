"""Recipes from files: shipped ones by their names, older ones under today's names, typed by their model family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import create_model

from ..uso_model.errors import UserError
from .config import read_yaml, set_values, typed, validated
from .family import declared_families, load_family
from .recipe import FLUX, RENAMED, TrainConfig

__all__ = ["RECIPES", "load_recipe", "make_recipe", "recipe_file", "recipe_names"]

RECIPES = Path(__file__).parent / "recipes"
"""Folder of the shipped recipes."""


def recipe_names() -> list[str]:
    """Return the names of the shipped recipes."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def recipe_file(name: str) -> Path:
    """Return the file of a recipe: a path, the name of a shipped one, or that of a family's own with its prefix.

    Raises:
        UserError: there is none.
    """
    if Path(name).is_file():
        return Path(name)
    families = [family for family in declared_families() if name.startswith(family.prefix)]
    own = [family.recipes / f"{name.removeprefix(family.prefix)}.yaml" for family in families]
    for file in (RECIPES / f"{name}.yaml", *own):
        if Path(name).name == name and file.is_file():
            return file
    known = ", ".join(recipe_names())
    raise UserError(f"got the recipe {name!r}, expected a YAML file, the folder of a run, or one of {known}")


def load_recipe(path: str | Path, overrides: Mapping[str, Any] | None = None, texts: Sequence[str] = ()) -> TrainConfig:
    """Read a recipe's file.

    Args:
        path: YAML file.
        overrides: dotted names and their values.
        texts: `name=value` of a command line, which win over both.

    Raises:
        UserError: see `config.load_config` and `config.typed`.
    """
    return make_recipe(read_yaml(path), overrides, texts, Path(path).name)


def make_recipe(
    values: Mapping[str, Any],
    overrides: Mapping[str, Any] | None = None,
    texts: Sequence[str] = (),
    source: str = "the recipe",
) -> TrainConfig:
    """Make settings of plain values, with older names brought up to date; see `load_recipe`."""
    given = _copied(values)
    set_values(given, overrides or {})
    texts = list(texts)
    chosen = _family(given, texts)
    if not isinstance(chosen, str):
        raise UserError(f"{source} holds wrong settings: family: expected an import path package.module:object")
    given["family"] = chosen
    given.setdefault("models", {})
    renamed = dict(RENAMED)
    for family in declared_families():
        if family.path == chosen:
            renamed |= family.renamed
        else:  # older run folders list the settings of families that they did not use
            for old in family.renamed:
                _taken(given, old)
    for old, new in renamed.items():
        _move(given, old, new)
    texts = [_renamed(text, renamed) for text in texts]
    kind = _kind(chosen)
    set_values(given, typed(kind, texts))
    return validated(kind, given, source)


def _family(values: dict[str, Any], texts: list[str]) -> Any:
    """Return the import path of the family that settings ask for, and take out the switches of older recipes."""
    chosen = values.get("family") or FLUX
    for text in texts:
        name, _, value = text.partition("=")
        chosen = value if name == "family" else chosen
    for family in declared_families():
        asked = _taken(values, family.switch)
        for text in [text for text in texts if family.switch and text.partition("=")[0] == family.switch]:
            asked = text.partition("=")[2].strip().lower() in ("true", "yes", "on", "1")
            texts.remove(text)
        chosen = family.path if asked else chosen
    return chosen


@lru_cache
def _kind(family: str) -> type[TrainConfig]:
    """Return the settings class whose section `models` is that of a family."""
    return create_model("TrainConfig", __base__=TrainConfig, models=(load_family(family).models, ...))


def _copied(values: Any) -> Any:
    return {name: _copied(part) for name, part in values.items()} if isinstance(values, Mapping) else values


def _renamed(text: str, renamed: Mapping[str, str]) -> str:
    name, separator, value = text.partition("=")
    for old, new in renamed.items():
        if name == old or name.startswith(f"{old}."):
            return f"{new}{name[len(old) :]}{separator}{value}"
    return text


def _move(values: dict[str, Any], old: str, new: str) -> None:
    """Put a setting under its new name, where it stands under the old one."""
    *parents, last = old.split(".")
    place: Any = values
    for parent in parents:
        place = place.get(parent)
        if not isinstance(place, dict):
            return
    if last in place:
        value = place.pop(last)
        *parents, last = new.split(".")
        place = values
        for parent in parents:
            place = place.setdefault(parent, {})
        place.setdefault(last, value)


def _taken(values: dict[str, Any], name: str | None) -> Any:
    """Remove a dotted setting and return its value, None where it is absent."""
    *parents, last = (name or "").split(".")
    place: Any = values
    for parent in parents:
        place = place.get(parent)
        if not isinstance(place, dict):
            return None
    return place.pop(last, None)
