"""Model families: what the trainer asks of the networks that it trains, and how a recipe finds them.

A recipe names its family by import path, `family: package.module:object`; without one it is FLUX.1. The trainer knows
this protocol alone, so that a family may live anywhere.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch

from ..uso_model.errors import UserError
from ..uso_model.import_path import object_at
from ..uso_model.projector import HierarchicalProjector
from ..uso_model.transformer import UsoTransformer
from .encoders.interface import CountTokens, Encoders
from .reading.values import read_yaml
from .recipe import ModelsConfig, TrainConfig

__all__ = ["Declared", "ModelFamily", "declared_families", "family_of", "load_family", "token_counter"]

DECLARATION = "family.yaml"


@runtime_checkable
class ModelFamily(Protocol):
    """One kind of networks with USO's architecture: where they come from and what goes with them.

    A family may have more. `count_tokens(models)` returns a function from a prompt to the tokens that it has and those
    that are read, by tokenizer; `uso check` asks it how much of a caption is cut. `memory_sizes(config)` returns the
    `SmallSizes` of networks so small that their batch alone is worth a plan. `judges` are the names of the judges among
    its encoders, and the references, `style` or `content`, that each compares with.
    """

    name: str
    """As it stands in the metadata of exported files, such as `flux-1-dev`."""
    models: type[ModelsConfig]
    """Settings of a recipe's section `models`."""
    licence: str
    """Of what is trained from this family's weights."""
    export_dtype: str
    """Precision of exported files where none is asked for: bf16, fp16 or fp32."""
    from_nothing: bool
    """Whether stage `base` can begin without a file."""

    def open_encoders(self, models: Any, device: torch.device) -> Encoders:
        """Return the frozen encoders that the settings name."""
        ...

    def bundled(self, models: Any, part: str) -> Path | None:
        """Return the file of a part (`transformer`, `lora` or `projector`) that comes with the family, if one does."""
        ...

    def fresh_transformer(self, models: Any) -> UsoTransformer:
        """Return an untrained transformer, random by torch's global generator."""
        ...

    def fresh_projector(self, models: Any, width: int, levels: Collection[str]) -> HierarchicalProjector:
        """Return an untrained projector to tokens of a width, random by torch's global generator."""
        ...

    def memory_note(self, config: TrainConfig) -> str | None:
        """Return what to say of memory where it is not worth a plan; None: plan it by formula."""
        ...


class Declared(NamedTuple):
    """What a family in this pack says of itself in the file family.yaml of its folder, read without importing it."""

    path: str
    """Import path of its object."""
    switch: str | None
    """Setting, true or false, by which recipes asked for it before they named families."""
    renamed: Mapping[str, str]
    """Older names of its settings, and today's."""
    prefix: str
    """Its recipes may be named with it: `PREFIXstage`."""
    recipes: Path
    """Folder of its recipes."""


@lru_cache
def declared_families() -> tuple[Declared, ...]:
    """Return the families that have a folder of their own in this pack."""
    found = []
    for file in sorted(Path(__file__).parents[1].glob(f"*/{DECLARATION}")):
        values = read_yaml(file)
        legacy = values.get("legacy", {})
        found.append(
            Declared(
                values["object"],
                legacy.get("switch"),
                legacy.get("renamed", {}),
                values["prefix"],
                file.parent / values["recipes"],
            )
        )
    return tuple(found)


def family_of(config: TrainConfig) -> ModelFamily:
    """Return the family of a recipe."""
    return load_family(config.family)


def token_counter(config: TrainConfig) -> CountTokens | None:
    """Return how a recipe's family counts the tokens of a prompt, None where its tokenizers are not at hand."""
    count_tokens = getattr(family_of(config), "count_tokens", None)  # a family may do without
    try:
        return count_tokens(config.models) if count_tokens is not None else None
    except UserError:
        return None


@lru_cache
def load_family(path: str) -> ModelFamily:
    """Import a family by its path.

    Raises:
        UserError: there is no such module or object, or it is no family.
    """
    found = object_at(path, "family", "correct `family`")
    if not isinstance(found, ModelFamily):
        raise UserError(f"{path} is no model family; correct `family` to an object with all that ModelFamily asks for")
    return found
