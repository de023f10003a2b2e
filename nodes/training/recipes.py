"""Recipes that a graph offers: the shipped ones, and the artist's own files."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from ...uso_model.errors import UserError
from ...uso_model.untrusted import quoted
from .folders import ROOT, training_folder
from .sets import Kind

__all__ = ["BY_KIND", "is_of_flux", "own_recipes_hash", "recipe_choices", "recipe_path", "recipe_values"]

BY_KIND = "by kind"
"""Choice of the shipped recipe for what the pictures share."""
_SHIPPED = Path(__file__).resolve().parents[2] / "trainer/recipes"
_OF_KIND: dict[Kind, str] = {"style": "my_style", "subject": "my_subject"}
_OWN = "recipes"
_ENDINGS = (".yaml", ".yml")
_FAMILY = "flux_family"


def recipe_choices() -> list[str]:
    """Return the choices: by the kind of the set, the shipped recipes, and files in the folder for one's own."""
    shipped = sorted(path.stem for path in _SHIPPED.glob("*.yaml"))
    return [BY_KIND, *shipped, *(path.name for path in _own_recipes())]


def recipe_path(choice: str, kind: Kind) -> Path:
    """Return the file of a choice.

    Raises:
        UserError: there is none.
    """
    name = _OF_KIND[kind] if choice == BY_KIND else choice
    plain = Path(name).name == name
    path = training_folder(_OWN) / name if _is_own(name) else _SHIPPED / f"{name}.yaml"
    if not plain or not path.is_file():
        raise UserError(
            f"Got the recipe {quoted(choice)!r}, expected one of {', '.join(recipe_choices())}: choose one, or put a "
            f"YAML file into output/{ROOT}/{_OWN}."
        )
    return path


def own_recipes_hash(choice: str) -> str:
    """Return a hash of the artist's recipes, of which one may build on another; empty for a shipped choice."""
    if not _is_own(choice):
        return ""
    found = hashlib.sha256()
    for path in _own_recipes():
        with suppress(OSError):  # told when it is read
            found.update(path.read_bytes())
    return found.hexdigest()


def _own_recipes() -> list[Path]:
    return sorted(path for path in training_folder(_OWN).glob("*.y*ml") if _is_own(path.name))


def _is_own(choice: str) -> bool:
    return choice.lower().endswith(_ENDINGS)


def recipe_values(path: Path) -> dict[str, Any]:
    """Return a recipe's settings as its file has them.

    Raises:
        UserError: it is no YAML mapping.
    """
    from ...trainer.reading.values import read_yaml  # not above: ComfyUI loads the pack without the trainer

    return read_yaml(path)


def is_of_flux(values: dict[str, Any]) -> bool:
    """Whether a recipe trains FLUX.1, which is what it does without another family."""
    return not isinstance(values.get("family"), str) or _FAMILY in values["family"]
