"""How style tokens get from a conditioning into FLUX's text stream.

The tokens are a plain tensor under the key `uso_style` of a conditioning entry. Three hooks, installed once
on a MODEL, carry them on: the sampler hook hands the tensor of every entry to ComfyUI's batching (which is
what makes latent batches, CFG, regions and timestep ranges work), the model hook moves it from the call's
keywords to that call's transformer options, and the input patch puts it before the text tokens at position
zero (USO, `uso/flux/model.py`: style tokens come first and carry zero ids). The first two run outside the
part that torch.compile sees, and the patch is kept out of it: a compiled network does not look again whether
its transformer options hold a style.
"""

from __future__ import annotations

from typing import Any

import torch
from comfy.conds import CONDRegular
from comfy.patcher_extension import WrappersMP
from torch import Tensor

__all__ = ["COUNTS", "HOOK", "STYLE", "has_style_hooks", "install_style_hooks"]

STYLE = "uso_style"
"""Conditioning key: style tokens, `1 L D`."""

COUNTS = "uso_style_counts"
"""Conditioning key: tokens of each style picture, a tuple of ints that adds up to `L`."""

HOOK = "uso"
"""The key our wrappers are filed under in a MODEL."""

_OPTIONS = 5
"""Place of the transformer options among the positional arguments of a model call."""


def hand_over_style(executor: Any, guider: Any, *args: Any, **kwargs: Any) -> Any:
    """Give the entries' style tokens to the batching code, moved to the load device once per run."""
    device = guider.model_patcher.load_device
    dtype = _compute_dtype(guider.model_patcher.model)
    guider.conds = {
        name: [_handed_over(entry, device, dtype) for entry in entries] for name, entries in guider.conds.items()
    }
    return executor(guider, *args, **kwargs)


def route_style(executor: Any, *args: Any, **kwargs: Any) -> Any:
    """Move the style tokens of one model call from its keywords into its transformer options."""
    style = kwargs.pop(STYLE, None)
    if style is None:
        return executor(*args, **kwargs)
    if len(args) > _OPTIONS:
        options = {**args[_OPTIONS], STYLE: style}
        return executor(*args[:_OPTIONS], options, *args[_OPTIONS + 1 :], **kwargs)
    kwargs["transformer_options"] = {**kwargs.get("transformer_options", {}), STYLE: style}
    return executor(*args, **kwargs)


@torch.compiler.disable
def prepend_style(inputs: dict[str, Any]) -> dict[str, Any]:
    """Put the style tokens before the text tokens (`B L D`) with position ids of zero."""
    style = inputs["transformer_options"].get(STYLE)
    if style is None:
        return inputs
    txt: Tensor = inputs["txt"]
    ids: Tensor = inputs["txt_ids"]
    style = style.to(txt).expand(txt.shape[0], -1, -1)
    inputs["txt"] = torch.cat([style, txt], dim=1)
    inputs["txt_ids"] = torch.cat([ids.new_zeros(ids.shape[0], style.shape[1], ids.shape[2]), ids], dim=1)
    return inputs


def has_style_hooks(model: Any) -> bool:
    """Say whether a MODEL already carries the hooks."""
    return bool(model.get_wrappers(WrappersMP.SAMPLER_SAMPLE, HOOK))


def install_style_hooks(model: Any) -> Any:
    """Return a clone of a MODEL with the hooks, or the MODEL itself where it has them already."""
    if has_style_hooks(model):
        return model
    patched = model.clone()
    patched.add_wrapper_with_key(WrappersMP.SAMPLER_SAMPLE, HOOK, hand_over_style)
    patched.add_wrapper_with_key(WrappersMP.APPLY_MODEL, HOOK, route_style)
    patched.set_model_post_input_patch(prepend_style)
    return patched


def _handed_over(entry: dict[str, Any], device: torch.device, dtype: torch.dtype | None) -> dict[str, Any]:
    style = entry.get(STYLE)
    if style is None:
        return entry
    return {**entry, "model_conds": {**entry["model_conds"], STYLE: CONDRegular(style.to(device, dtype))}}


def _compute_dtype(model: Any) -> torch.dtype | None:
    # Casting here saves the cast ComfyUI would repeat in every network call.
    return model.get_dtype_inference() if hasattr(model, "get_dtype_inference") else None
