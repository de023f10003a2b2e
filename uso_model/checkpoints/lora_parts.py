"""The parts that adapt one layer: whether they are all there and fit it."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from .lora_names import DOWN, UP

__all__ = ["misfit"]

_HADA = {f"hada_w{n}_{side}" for n in (1, 2) for side in "ab"}


def misfit(parts: Mapping[str, Tensor], size: tuple[int, int] | None) -> str | None:
    """Return why parts cannot adapt a layer, None where they can.

    Args:
        parts: name of the part (see `lora_names`) -> tensor.
        size: rows and columns of the layer; None: not known.
    """
    names = parts.keys()
    kronecker = [name for name in names if name.startswith("lokr_w")]
    if (
        (DOWN in names) != (UP in names)
        or 0 < len(names & _HADA) < len(_HADA)
        or (kronecker and not all(_has_factor(parts, f"lokr_w{n}") for n in (1, 2)))
    ):
        return "a part is missing"
    if "alpha" in parts and parts["alpha"].numel() != 1:
        return f"alpha of shape {tuple(parts['alpha'].shape)}"
    if DOWN in parts and "lora_mid.weight" not in parts:
        down, up = parts[DOWN], parts[UP]
        if 0 in (*down.shape, *up.shape) or min(down.ndim, up.ndim) < 2 or down.shape[0] != up.shape[1]:
            return f"factors of shapes {tuple(up.shape)} and {tuple(down.shape)}"
        got = up.shape[0], down[0].numel()
        if size is not None and got != size and "reshape_weight" not in parts:
            return f"made for {got[0]} x {got[1]}, the layer has {size[0]} x {size[1]}"
    return None


def _has_factor(parts: Mapping[str, Tensor], name: str) -> bool:
    return name in parts or (f"{name}_a" in parts and f"{name}_b" in parts)
