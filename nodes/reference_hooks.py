"""How references and their dials get from a conditioning into FLUX.

Style tokens are a plain tensor under the key `uso_style` of a conditioning entry. Three hooks, installed once on a MODEL, carry
them on: the sampler hook hands the tensors of every entry to ComfyUI's batching (which is what makes latent batches, CFG,
regions and timestep ranges work), the model hook moves them from the call's keywords to that call's transformer options and
puts strengths and regions into the call's attention mask, and the input patch puts the tokens before the text tokens at
position zero (USO, `uso/flux/model.py`: style tokens come first and carry zero ids). The first two run outside the part that
torch.compile sees, and the patch is kept out of it: a compiled network does not look again whether its transformer options
hold a style.
"""

from __future__ import annotations

from typing import Any

import torch
from comfy.conds import CONDConstant, CONDNoiseShape, CONDRegular
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from .attention import layout_of, mask_of_call
from .dials import CONTENT_DIALS, STYLE_DIALS, key_bias, regions

__all__ = ["COUNTS", "HOOK", "STYLE", "has_hooks", "install_hooks"]

STYLE = "uso_style"
"""Conditioning key: style tokens, `1 L D`."""

COUNTS = "uso_style_counts"
"""Conditioning key: tokens of each style picture, a tuple of ints that adds up to `L`."""

HOOK = "uso"
"""The key our wrappers are filed under in a MODEL."""

STYLE_BIAS, CONTENT_BIAS, REGION = "uso_style_bias", "uso_content_bias", "uso_region"
"""Keywords of a model call: logarithms of strengths `b L` and `b R`, regions `b S+R h w`."""

_CONTEXT, _OPTIONS = 3, 5
"""Places of the text and of the transformer options among the positional arguments of a model call."""

_NOISE = 3
"""Place of the noise among the sampler's arguments behind the guider: sigmas, extra_args, callback, noise, ..."""


def hand_over_references(executor: Any, guider: Any, *args: Any, **kwargs: Any) -> Any:
    """Give the entries' tokens and dials to the batching code, moved to the load device once per run."""
    patcher = guider.model_patcher
    device, dtype = patcher.load_device, _compute_dtype(patcher.model)
    size = _latent_size(args, kwargs)
    guider.conds = {
        name: [_handed_over(entry, device, dtype, size) for entry in entries] for name, entries in guider.conds.items()
    }
    return executor(guider, *args, **kwargs)


def route_references(executor: Any, *args: Any, **kwargs: Any) -> Any:
    """Move what the sampler hook has handed over from one call's keywords to where the network looks for it."""
    style = kwargs.pop(STYLE, None)
    style_bias, content_bias, region = (kwargs.pop(key, None) for key in (STYLE_BIAS, CONTENT_BIAS, REGION))
    counts = kwargs.pop(COUNTS, ())
    latents, context = args[0], args[_CONTEXT] if len(args) > _CONTEXT else kwargs.get("c_crossattn")
    layout = layout_of(latents, context, style, kwargs.get("ref_latents") or ())
    other = kwargs.get("attention_mask") if style is not None or layout.references else None
    mask = mask_of_call(layout, style_bias, content_bias, region, counts, other)
    if mask is not None:
        kwargs["attention_mask"] = mask
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


def has_hooks(model: Any) -> bool:
    """Say whether a MODEL already carries the hooks."""
    return bool(model.get_wrappers(WrappersMP.SAMPLER_SAMPLE, HOOK))


def install_hooks(model: Any) -> Any:
    """Return a clone of a MODEL with the hooks, or the MODEL itself where it has them already."""
    if has_hooks(model):
        return model
    patched = model.clone()
    patched.add_wrapper_with_key(WrappersMP.SAMPLER_SAMPLE, HOOK, hand_over_references)
    patched.add_wrapper_with_key(WrappersMP.APPLY_MODEL, HOOK, route_references)
    patched.set_model_post_input_patch(prepend_style)
    return patched


def _handed_over(
    entry: dict[str, Any], device: torch.device, dtype: torch.dtype | None, size: tuple[int, int]
) -> dict[str, Any]:
    style = entry.get(STYLE)
    style_dials, content_dials = entry.get(STYLE_DIALS, ()), entry.get(CONTENT_DIALS, ())
    if style is None and not content_dials:
        return entry
    added: dict[str, Any] = {}
    counts = entry.get(COUNTS, ())
    if style is not None:
        added[STYLE] = CONDRegular(style.to(device, dtype))
    for key, dials, sizes in (
        (STYLE_BIAS, style_dials, counts if style_dials else ()),
        (CONTENT_BIAS, content_dials, (1,) * len(content_dials)),
    ):
        bias = key_bias(dials, sizes)
        if bias is not None:
            added[key] = CONDRegular(bias.to(device))
    whole = ({},) * (len(counts) if not style_dials else 0)
    references = entry.get("reference_latents", ())
    drawn = regions((*style_dials, *whole, *(content_dials or ({},) * len(references))), *size)
    if drawn is not None:
        added[REGION] = CONDNoiseShape(drawn.to(device))
    if len(added) > (style is not None):
        added[COUNTS] = CONDConstant(tuple(counts))
    return {**entry, "model_conds": {**entry["model_conds"], **added}}


def _latent_size(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[int, int]:
    """Return height and width of the latent that is sampled; see the sampler's signature in comfy/samplers.py."""
    noise = args[_NOISE] if len(args) > _NOISE else kwargs["noise"]
    return noise.shape[-2], noise.shape[-1]


def _compute_dtype(model: Any) -> torch.dtype | None:
    # Casting here saves the cast ComfyUI would repeat in every network call.
    return model.get_dtype_inference() if hasattr(model, "get_dtype_inference") else None
