"""Recipes from files: shipped ones by their names, older ones under today's names, typed by their model family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import create_model

from ...uso_model.errors import UserError
from ...uso_model.untrusted import named
from ..family import declared_families, load_family
from ..recipe import FLUX, RENAMED, TrainConfig
from .command_line import COMMAND_LINE
from .errors import Origin
from .shorthands import short_settings, short_texts, written_out
from .values import read_yaml, set_values, typed, validated

__all__ = ["RECIPES", "load_recipe", "make_recipe", "recipe_file", "recipe_names"]

RECIPES = Path(__file__).parents[1] / "recipes"
"""Folder of the shipped recipes."""


def recipe_names() -> list[str]:
    """Return the names of the shipped recipes."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def recipe_file(name: str) -> Path:
    """Return the file of a recipe: a path, the name of a shipped one, or that of a family's own with its prefix.

    Raises:
        UserError: there is none.
    """
    if Path(name).is_file() and not name.lower().endswith(".jsonl"):
        return Path(name)
    families = [family for family in declared_families() if name.startswith(family.prefix)]
    own = [family.recipes / f"{name.removeprefix(family.prefix)}.yaml" for family in families]
    for file in (RECIPES / f"{name}.yaml", *own):
        if Path(name).name == name and file.is_file():
            return file
    known = ", ".join(recipe_names())
    if Path(name).exists():
        raise UserError(
            f"{named(name)} is data and no recipe: name one of {known}, or a YAML file, and then data={named(name)}"
        )
    absent = "which is not there, " if Path(name).suffix or Path(name).name != name else ""
    raise UserError(f"got the recipe {name!r}, {absent}expected a YAML file, the folder of a run, or one of {known}")


def load_recipe(path: str | Path, overrides: Mapping[str, Any] | None = None, texts: Sequence[str] = ()) -> TrainConfig:
    """Read a recipe's file.

    Args:
        path: YAML file.
        overrides: dotted names and their values.
        texts: `name=value` of a command line, which win over both.

    Raises:
        UserError: see `config.load_config` and `config.typed`.
    """
    path = Path(path)
    shipped = path.parent in (RECIPES, *(family.recipes for family in declared_families()))
    return make_recipe(read_yaml(path), overrides, texts, path.name if shipped else named(path), path)


def make_recipe(
    values: Mapping[str, Any],
    overrides: Mapping[str, Any] | None = None,
    texts: Sequence[str] = (),
    source: str = "the recipe",
    file: Path | None = None,
) -> TrainConfig:
    """Make settings of plain values, with older names brought up to date; see `load_recipe`.

    Args:
        values: as a recipe's file has them.
        overrides: dotted names and their values.
        texts: `name=value` of a command line, which win over both.
        source: of the values, for messages.
        file: the same, for the lines in it.
    """
    given = _copied(values)
    folder = _run_dir(given)
    set_values(given, written_out(short_settings(given), {} if folder is None else {"loop.run_dir": folder}, source))
    dotted = dict(overrides or {})
    _override(given, short_settings(dotted), dotted, source)
    short, texts = short_texts(texts)
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
    asked = typed(kind, texts)
    for one, other, off in (("loop.epochs", "loop.steps", 0), ("loop.steps", "loop.epochs", None)):
        if one in asked:
            asked.setdefault(other, off)  # the one that is asked for replaces the recipe's other one
    _override(given, short, asked, COMMAND_LINE)
    return validated(kind, given, Origin(source, file, [*asked, *short], renamed))


def _override(given: dict[str, Any], short: Mapping[str, Any], dotted: Mapping[str, Any], source: str) -> None:
    """Set what short settings stand for and then the dotted ones."""
    found, before, out = written_out(short, dotted, source), _run_dir(given), given.get("out")
    if "name" in short and isinstance(before, (str, Path)) and isinstance(out, (str, Path)):
        inside = Path(out).is_relative_to(before)  # then the results move with the run
        found |= {"out": found["loop.run_dir"] / Path(out).relative_to(before)} if inside else {}
    set_values(given, {**found, **dotted})


def _run_dir(values: Mapping[str, Any]) -> Any:
    loop = values.get("loop")
    return loop.get("run_dir") if isinstance(loop, dict) else None


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
