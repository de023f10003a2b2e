"""A LoRA file on a MODEL, with what its metadata says of the references it was trained with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, NamedTuple

from torch import Tensor

from ...uso_model.checkpoints.files import read_metadata, read_safetensors
from ...uso_model.checkpoints.marks import MARKER, beside, is_isolated, is_own_part, is_trained
from ...uso_model.errors import UserError
from ...uso_model.isolation import mark
from .host_types import Model
from .isolation import is_isolated as is_isolated_model
from .keys import LORAS
from .lora import with_lora

__all__ = ["Loaded", "with_lora_file"]


class Loaded(NamedTuple):
    """A LoRA on a MODEL whose file says how it was trained."""

    name: str
    isolated: bool
    own: bool
    """Whether it is a part that was trained beside another LoRA."""
    beside: str | None
    """Name of the file of that other LoRA, None for USO's."""


def with_lora_file(model: Model, path: str, strength: float, name: str, *more: Any) -> Model:
    """Return a clone of a MODEL with the LoRA of a file; see `with_lora`.

    Args:
        model: a FLUX.1 MODEL.
        path: of the file.
        strength: of all of it; not 0.
        name: of the file, for messages.
        more: what `with_lora` takes besides.

    Raises:
        UserError: see `with_lora`; or one LoRA was trained with isolated references, and another one without, as far as
            their files say it, and neither of them beside the other.
    """
    weights, metadata = read_safetensors(path), read_metadata(path)
    isolated = is_isolated(metadata, weights)
    # The released one says nothing of itself, but has USO's own keys; XLabs', like them, are of double blocks alone.
    released = any("single_blocks.0.processor." in key for key in weights)
    new = Loaded(name, isolated, is_own_part(metadata), beside(metadata))
    known = isolated or released or is_trained(metadata)
    others: tuple[Loaded, ...] = model.model_options["transformer_options"].get(LORAS, ())
    if known:
        for other in others:
            _check_the_same_way(new, other)
    by_another = is_isolated_model(model) and not any(other.isolated for other in others)
    if by_another and is_trained(metadata) and not isolated:
        raise UserError(_refused(new, "a LoRA that was trained with them"))
    if isolated and not is_isolated({}, weights):
        weights = _marked(weights, model)
    patched = with_lora(model, weights, strength, name, *more)
    if known:
        patched.model_options["transformer_options"][LORAS] = (*others, new)
    return patched


def _check_the_same_way(new: Loaded, other: Loaded) -> None:
    """Check that two LoRAs of a MODEL were trained with references of one kind, or one of them beside the other.

    Raises:
        UserError: they were not.
    """
    if new.isolated == other.isolated:
        return
    alone, joint = (new, other) if new.isolated else (other, new)
    # A part that was trained beside another LoRA runs as it was trained: with both. USO's may have any name.
    if not alone.own or (alone.beside is not None and alone.beside != PurePath(joint.name).name):
        raise UserError(
            _refused(new, f"{other.name}, which was trained {'with' if other.isolated else 'without'} them")
        )


def _refused(new: Loaded, other: str) -> str:
    """Say that a LoRA does not go with another one of the same MODEL."""
    how = "with" if new.isolated else "without"
    return (
        f"Got {new.name}, which was trained {how} isolated references, on a model with {other}, expected one of them, "
        "or one that was trained beside the other: take the other loader out."
    )


def _marked(weights: Mapping[str, Tensor], model: Model) -> dict[str, Tensor]:
    """Return a LoRA's weights with the mark of isolated references, which some tools leave out when they write it."""
    rows = model.model.diffusion_model.final_layer.linear.out_features
    return {**weights, f"diffusion_model.{MARKER}": mark(rows)}
