"""One LoRA in every layout of keys that trainers write for FLUX.1."""

from __future__ import annotations

import random
from collections.abc import Callable

import torch
from comfyui_uso.uso_model.checkpoints.diffusers_names import DOUBLE, DOUBLE_JOINED, SINGLE, SINGLE_JOINED
from comfyui_uso.uso_model.checkpoints.lora import USO_PARTS

from .conftest import HIDDEN

__all__ = ["LAYOUTS", "MLP", "RANK", "USO_LAYOUTS", "Factors", "Weights", "factors", "named"]

RANK, MLP = 3, 4 * HIDDEN
DOUBLE_SIZES = {
    **{f"{stream}_attn.qkv": (3 * HIDDEN, HIDDEN) for stream in ("img", "txt")},
    **{f"{stream}_attn.proj": (HIDDEN, HIDDEN) for stream in ("img", "txt")},
    **{f"{stream}_mlp.0": (MLP, HIDDEN) for stream in ("img", "txt")},
    **{f"{stream}_mlp.2": (HIDDEN, MLP) for stream in ("img", "txt")},
    **{f"{stream}_mod.lin": (6 * HIDDEN, HIDDEN) for stream in ("img", "txt")},
}
SINGLE_SIZES = {
    "linear1": (3 * HIDDEN + MLP, HIDDEN),
    "linear2": (HIDDEN, HIDDEN + MLP),
    "modulation.lin": (3 * HIDDEN, HIDDEN),
}
USO_LAYERS = {f"{blocks}.{part}" for blocks, parts in USO_PARTS.items() for part in parts.values()}

Factors = dict[str, tuple[torch.Tensor, torch.Tensor]]
"""BFL's layer -> down and up."""
Weights = dict[str, torch.Tensor]


def factors(seed: int, whole: bool = False, uso: bool = False) -> Factors:
    """Return a LoRA of some layers, or all, or those that USO's names can tell."""
    dice, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    sizes = {f"double_blocks.{n}.{name}": size for n in (0, 1) for name, size in DOUBLE_SIZES.items()}
    sizes |= {f"single_blocks.{n}.{name}": size for n in (0, 1) for name, size in SINGLE_SIZES.items()}
    if uso:
        sizes |= {f"single_blocks.{n}.linear1_qkv": (3 * HIDDEN, HIDDEN) for n in (0, 1)}
        sizes = {name: size for name, size in sizes.items() if _bare(name) in USO_LAYERS}
    chosen = sizes if whole else dice.sample(sorted(sizes), dice.randint(1, len(sizes)))
    return {
        name: (
            torch.randn(RANK, sizes[name][1], generator=generator),
            torch.randn(sizes[name][0], RANK, generator=generator),
        )
        for name in chosen
    }


def _bare(layer: str) -> str:
    blocks, _, name = layer.split(".", 2)
    return f"{blocks}.{name}"


def named(form: str) -> Callable[[Factors], Weights]:
    """Return a layout whose keys are BFL's names within some text; `{_}` stands for the name with underscores."""

    def render(lora: Factors) -> Weights:
        out = {}
        for layer, pair in lora.items():
            for tensor, sides in zip(pair, (("A", "down"), ("B", "up")), strict=True):
                out[form.format(layer=layer, _=layer.replace(".", "_"), ab=sides[0], side=sides[1])] = tensor
        return out

    return render


def uso(prefix: str) -> Callable[[Factors], Weights]:
    """Return USO's own layout after some prefix."""

    def render(lora: Factors) -> Weights:
        out = {}
        for layer, (down, up) in lora.items():
            blocks, number, name = layer.split(".", 2)
            part = next(part for part, known in USO_PARTS[blocks].items() if known == name)
            key = f"{prefix}{blocks}.{number}.processor.{part}"
            out |= {f"{key}.down.weight": down, f"{key}.up.weight": up}
        return out

    return render


def diffusers(form: str) -> Callable[[Factors], Weights]:
    """Return a layout with diffusers' layers: q, k and v, which share their down here, apart."""

    def render(lora: Factors) -> Weights:
        apart: Factors = {}
        for layer, (down, up) in lora.items():
            blocks, number, name = layer.split(".", 2)
            double = blocks == "double_blocks"
            at = f"{'' if double else 'single_'}transformer_blocks.{number}"
            if name in (joined := DOUBLE_JOINED if double else SINGLE_JOINED):
                rows = [HIDDEN] * 3 + ([] if double else [MLP])
                for part, piece in zip(joined[name], up.split(rows), strict=True):
                    apart[f"{at}.{part}"] = down, piece
            else:
                theirs = next(old for old, ours in (DOUBLE if double else SINGLE).items() if ours == name)
                apart[f"{at}.{theirs}"] = down, up
        return named(form)(apart)

    return render


LAYOUTS = {
    "diffusion_model": named("diffusion_model.{layer}.lora_{ab}.weight"),
    "lora_down": named("diffusion_model.{layer}.lora_{side}.weight"),
    "saved model": named("model.diffusion_model.{layer}.lora_{ab}.weight"),
    "transformer": named("transformer.{layer}.lora_{ab}.weight"),
    "bare": named("{layer}.lora_{ab}.weight"),
    "PEFT": named("base_model.model.{layer}.lora_{ab}.weight"),
    "PEFT in memory": named("base_model.model.{layer}.lora_{ab}.default.weight"),
    "PEFT around diffusion_model": named("base_model.model.diffusion_model.{layer}.lora_{ab}.weight"),
    "old diffusers parts": named("unet.{layer}.lora.{side}.weight"),
    "kohya": named("lora_unet_{_}.lora_{side}.weight"),
    "diffusers": diffusers("transformer.{layer}.lora_{ab}.weight"),
    "diffusers bare": diffusers("{layer}.lora_{ab}.weight"),
    "diffusers in PEFT": diffusers("base_model.model.{layer}.lora_{ab}.weight"),
    "OneTrainer": diffusers("lora_transformer_{_}.lora_{side}.weight"),
    "SimpleTuner": diffusers("lycoris_{_}.lora_{side}.weight"),
}
USO_LAYOUTS = {
    "USO": uso(""),
    "USO prefixed": uso("diffusion_model."),
    "USO in a saved model": uso("model.diffusion_model."),
    "kohya": LAYOUTS["kohya"],
    "bare": LAYOUTS["bare"],
}
