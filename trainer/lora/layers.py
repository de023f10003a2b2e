"""Which layers of the transformer a recipe adapts with LoRA."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ...uso_model.checkpoints.lora import uso_modules
from ...uso_model.config import FluxConfig
from ...uso_model.dials.blocks import parse_block_numbers
from ...uso_model.errors import UserError
from ...uso_model.untrusted import quoted
from ..settings.lora import LoraSettings

__all__ = ["DOUBLE", "OUTSIDE", "SINGLE", "chosen_layers", "layer_names", "require_no_modulation"]

DOUBLE = tuple(
    f"{stream}_{layer}" for stream in ("img", "txt") for layer in ("attn.qkv", "attn.proj", "mlp.0", "mlp.2", "mod.lin")
)
"""Layers of a double block."""
SINGLE = ("linear1_qkv", "linear1_mlp", "linear2", "modulation.lin")
"""Layers of a single block; the first two are BFL's `linear1`."""
OUTSIDE = (
    "img_in",
    "txt_in",
    *(f"{part}_in.{side}_layer" for part in ("time", "vector", "guidance") for side in ("in", "out")),
    "final_layer.linear",
    "final_layer.adaLN_modulation.1",
)
"""Layers outside the blocks."""

_BEFORE_MODULATION = ("time_in.", "vector_in.", "guidance_in.")

_BLOCK = re.compile(r"(d|s)(?:ouble|ingle)_blocks\.([0-9]+)\.(.+)")


def layer_names(depth: int, depth_single_blocks: int) -> list[str]:
    """Return the paths of all layers that can be adapted."""
    blocks = [f"double_blocks.{n}.{layer}" for n in range(depth) for layer in DOUBLE]
    blocks += [f"single_blocks.{n}.{layer}" for n in range(depth_single_blocks) for layer in SINGLE]
    return [*blocks, *OUTSIDE]


def chosen_layers(settings: LoraSettings, sizes: FluxConfig) -> list[str]:
    """Return the paths of the layers that new branches adapt: those of `lora.layers` within `lora.blocks`.

    A word of `lora.layers` is a part of a layer's name within its block (`qkv`, `img_attn`, `img_mlp.0`, `linear1`), a
    whole path (`double_blocks.0.img_attn.qkv`), `uso` or `all`. Layers outside the blocks are chosen by their own names
    only, and whatever `lora.blocks` says.

    Raises:
        UserError: a word fits no layer, a block is not there, or no layer is left.
    """
    own = uso_modules(sizes.depth, sizes.depth_single_blocks)
    names = layer_names(sizes.depth, sizes.depth_single_blocks)
    chosen: set[str] = set()
    for word in settings.layers or ["uso"]:
        found = own if word == "uso" else [name for name in names if _fits(word, name)]
        if not found:
            known = ", ".join(_words())
            raise UserError(
                f"got lora.layers {quoted(word)!r}, expected uso, all, a path of a layer, or some of {known}"
            )
        chosen.update(found)
    if settings.blocks is not None:
        numbers = parse_block_numbers(settings.blocks, sizes.depth, sizes.depth_single_blocks, "lora.blocks")
        chosen = {name for name in chosen if not (m := _BLOCK.fullmatch(name)) or int(m[2]) in numbers[m[1]]}
    if not chosen:
        raise UserError(
            f"no layer is left: {', '.join(settings.layers or ['uso'])} has none in the blocks {settings.blocks}; "
            "change lora.layers or lora.blocks"
        )
    return [name for name in names if name in chosen]


def require_no_modulation(names: Iterable[str]) -> None:
    """Make sure that no branch is computed where no gradient is: at or before modulation layers that stay in RAM.

    Raises:
        UserError: there are such branches.
    """
    found = [name for name in names if name.endswith(".lin") or name.startswith(_BEFORE_MODULATION)]
    if found:
        raise UserError(
            f"LoRA is to be trained on {len(found)} layers at or before modulation ({', '.join(found[:3])}), expected "
            "none with memory.modulation offloaded: set memory.modulation to resident, or choose other layers"
        )


def _fits(word: str, name: str) -> bool:
    block = _BLOCK.fullmatch(name)
    if word == name or (word == "all" and block is not None):
        return True
    if block is None:
        return name.startswith(f"{word}.")
    wanted, parts = word.split("."), block[3].split(".")
    starts = range(len(parts) - len(wanted) + 1)
    return any(all(w in (p, *p.split("_")) for w, p in zip(wanted, parts[i:], strict=False)) for i in starts)


def _words() -> Iterable[str]:
    """Return the names by which layers can be chosen, for a message."""
    words = [part for layer in (*DOUBLE, *SINGLE) for part in layer.split(".") if not part.isdigit()]
    more = [piece for word in words if "_" in word for piece in word.split("_")]
    return dict.fromkeys([*more, *words, *OUTSIDE])
