"""The stages of USO-mini: recipes, settings classes and what trains each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..trainer.reading.recipe_files import load_recipe
from ..trainer.reading.values import Settings, load_config
from ..trainer.train import train
from .judges.training import JudgeRun, train_judges
from .training.runs import (
    AutoencoderRun,
    EncoderRun,
    train_autoencoder,
    train_decoder,
    train_descriptor,
    train_encoders,
    train_vision,
)

__all__ = ["load_stage", "recipe_of", "train_stage"]

RECIPES = Path(__file__).parent / "recipes"
"""Folder of the stages' recipes."""

_OWN: dict[str, tuple[type[Settings], Callable[[Any], Any]]] = {
    "autoencoder": (AutoencoderRun, train_autoencoder),
    "encoders": (EncoderRun, train_encoders),
    "descriptor": (EncoderRun, train_descriptor),
    "vision": (EncoderRun, train_vision),
    "decoder": (AutoencoderRun, train_decoder),
    "judges": (JudgeRun, train_judges),
}
"""Settings and training of the stages that are not the trainer's."""


def recipe_of(stage: str) -> Path:
    """Return the file of a stage's recipe."""
    return RECIPES / f"{stage}.yaml"


def load_stage(stage: str, values: Mapping[str, Any] | None = None, texts: Sequence[str] = ()) -> Any:
    """Return the settings of a stage.

    Args:
        stage: name of a recipe.
        values: dotted names of settings that differ, and their values.
        texts: `name=value` of a command line, which win over them.

    Raises:
        UserError: a setting is wrong.
    """
    if stage not in _OWN:
        return load_recipe(recipe_of(stage), values, texts)
    kind, _ = _OWN[stage]
    return load_config(kind, recipe_of(stage), values, texts)


def train_stage(stage: str, settings: Any) -> Any:
    """Train a stage, or continue it where it stopped, and return what its training returns."""
    return _OWN[stage][1](settings) if stage in _OWN else train(settings)
