"""How references and their dials get from a conditioning into FLUX.

Style tokens are a plain tensor under the key `uso_style` of a conditioning entry. Hooks, installed once on a MODEL,
carry them on: the sampler hook hands the tensors of every entry to ComfyUI's batching (which is what makes latent
batches, CFG, regions and timestep ranges work), the model hook moves them from the call's keywords to that call's
transformer options and puts strengths and regions into the call's attention mask, and the input patch puts the tokens
before the text tokens at position zero (USO, `uso/flux/model.py`: style tokens come first and carry zero ids). The
first two run outside the part that torch.compile sees, and the patch is kept out of it: a compiled network does not
look again whether its transformer options hold a style. A fourth hook, inside attention, is there only for weights of
single blocks and for the fast form.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import torch
from comfy.conds import CONDConstant, CONDNoiseShape, CONDRegular
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ...uso_model.errors import UserError
from ..graph.dials import CONTENT_DIALS, STYLE_DIALS, TEXT_STRENGTH, Plan, key_bias, padded, plan_of, regions
from .attention import EDITS, Edits, Set, edit_attention, edits_of_call, layout_of
from .compile_guard import trace_anew
from .placement import placed

__all__ = ["COUNTS", "HOOK", "STYLE", "has_hooks", "install_hooks"]

STYLE = "uso_style"
"""Conditioning key: style tokens, `1 L D`."""

COUNTS = "uso_style_counts"
"""Conditioning key: tokens of each style picture, a tuple of ints that adds up to `L`."""

HOOK = "uso"
"""The key our wrappers are filed under in a MODEL."""

_PLAN = "uso_plan"
_SET = ("uso_style_bias", "uso_content_bias", "uso_text_bias", "uso_regions")
"""Keywords of a model call: its Plan, and the fields of its Set."""

_PLACES, _WATCH = "uso_places", "uso_watch"
"""Transformer options: places of the references, and the run's _Watch."""

_CONTEXT, _OPTIONS = 3, 5
"""Places of the text and of the transformer options among the positional arguments of a model call."""

_EXTRA, _NOISE = 1, 3
"""Places among the sampler's arguments behind the guider: sigmas, extra_args, callback, noise, ..."""

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Watch:
    """What has happened in a run; an object, because ComfyUI copies the lists in transformer options."""

    handed: bool = False
    """Whether a call had something for the input patch."""
    taken: bool = False
    """Whether the input patch ran."""


def hand_over_references(executor: Any, guider: Any, *args: Any, **kwargs: Any) -> Any:
    """Give the entries' tokens and dials to the batching code, moved to the load device once per run.

    Says so afterwards if the network has never asked for them.
    """
    patcher = guider.model_patcher
    device, dtype = patcher.load_device, _compute_dtype(patcher.model)
    noise = args[_NOISE] if len(args) > _NOISE else kwargs["noise"]
    size = (noise.shape[-2], noise.shape[-1])
    guider.conds = {
        name: [_handed_over(entry, device, dtype, size) for entry in entries] for name, entries in guider.conds.items()
    }
    trace_anew(patcher)
    watch = _Watch()
    args = tuple(_watched(arg, watch) if place == _EXTRA else arg for place, arg in enumerate(args))
    out = executor(guider, *args, **kwargs)
    if watch.handed and not watch.taken:
        logger.error(
            "The style, or the subject's placement, had no effect: something (such as Nunchaku, or another node that "
            "replaces FLUX's forward) runs the network without ComfyUI's input patches, expected ComfyUI's own FLUX: "
            "take that node out, or load the model with Load Diffusion Model."
        )
    return out


def route_references(executor: Any, *args: Any, **kwargs: Any) -> Any:
    """Move what the sampler hook has handed over from one call's keywords to where the network looks for it."""
    style = kwargs.pop(STYLE, None)
    plan: Plan = kwargs.pop(_PLAN, Plan())
    dials = Set(*(kwargs.pop(key, None) for key in _SET))
    context = args[_CONTEXT] if len(args) > _CONTEXT else kwargs.get("c_crossattn")
    layout = layout_of(args[0], context, style, kwargs.get("ref_latents") or ())
    other = kwargs.get("attention_mask") if style is not None or layout.references else None
    edits = edits_of_call(layout, plan, dials, other)
    options = args[_OPTIONS] if len(args) > _OPTIONS else kwargs.get("transformer_options", {})
    _check_others(options.get("patches", {}), edits)
    added: dict[str, Any] = {}
    if style is not None:
        added[STYLE] = style
    if plan.places:
        added[_PLACES] = plan.places
    if not edits.alike:
        added[EDITS] = edits
        kwargs.pop("attention_mask", None)  # it is part of every block's own mask
    elif edits.masks[0] is not None:
        kwargs["attention_mask"] = edits.masks[0]
    if not added:
        return executor(*args, **kwargs)
    if len(args) > _OPTIONS:
        out = executor(*args[:_OPTIONS], {**options, **added}, *args[_OPTIONS + 1 :], **kwargs)
    else:
        out = executor(*args, **{**kwargs, "transformer_options": {**options, **added}})
    if _WATCH in options:
        options[_WATCH].handed = True
    return out


@torch.compiler.disable
def put_references(inputs: dict[str, Any]) -> dict[str, Any]:
    """Put the style tokens before the text tokens (`B L D`), with position ids of zero, and move references."""
    options = inputs["transformer_options"]
    style, places = options.get(STYLE), options.get(_PLACES)
    if style is not None:
        txt: Tensor = inputs["txt"]
        ids: Tensor = inputs["txt_ids"]
        style = style.to(txt).expand(txt.shape[0], -1, -1)
        inputs["txt"] = torch.cat([style, txt], dim=1)
        inputs["txt_ids"] = torch.cat([ids.new_zeros(ids.shape[0], style.shape[1], ids.shape[2]), ids], dim=1)
    if places is not None:
        inputs["img_ids"] = placed(inputs["img_ids"], options["reference_image_num_tokens"], places)
    if _WATCH in options:
        options[_WATCH].taken = True
    return inputs


def has_hooks(model: Any) -> bool:
    """Say whether a MODEL already carries the hooks."""
    return bool(model.get_wrappers(WrappersMP.SAMPLER_SAMPLE, HOOK))


def install_hooks(model: Any, in_attention: bool = False) -> Any:
    """Return a clone of a MODEL with the hooks, or the MODEL itself where it has them already.

    Args:
        model: a FLUX.1 MODEL.
        in_attention: also the hook that block weights and the fast form need.
    """
    patches = model.model_options.get("transformer_options", {}).get("patches", {})
    has_inner = edit_attention in patches.get("attn1_patch", [])
    if has_hooks(model) and (has_inner or not in_attention):
        return model
    patched = model.clone()
    if not has_hooks(model):
        patched.add_wrapper_with_key(WrappersMP.SAMPLER_SAMPLE, HOOK, hand_over_references)
        patched.add_wrapper_with_key(WrappersMP.APPLY_MODEL, HOOK, route_references)
        patched.set_model_post_input_patch(put_references)
    if in_attention and not has_inner:
        patched.set_model_attn1_patch(edit_attention)
    return patched


def _check_others(patches: dict[str, list[Any]], edits: Edits) -> None:
    """Refuse masks and values beside patches of ComfyUI that change the number of tokens without telling.

    Raises:
        UserError: such a patch is there.
    """
    if edits.none:
        return
    if any(type(patch).__name__ == "UsoStyleProjectorPatch" for patch in patches.get("post_input", [])):
        raise UserError(
            "Got a dial together with ComfyUI's own USO style node, whose tokens no other node can see, expected "
            "styles from USO Apply only: replace that node with USO Encode Style, USO Project Style and USO Apply."
        )
    single_tokens = any(mask is not None and mask.shape[2] > 1 for mask in edits.masks)
    if single_tokens and any(type(patch).__name__ == "KV_Attn_Input" for patch in patches.get("attn1_patch", [])):
        raise UserError(
            "Got a region, or another mask for single tokens, together with Flux KV Cache, expected one of them: the "
            "cache changes the number of tokens between steps, so take out that node, or the region."
        )


def _handed_over(
    entry: dict[str, Any], device: torch.device, dtype: torch.dtype | None, size: tuple[int, int]
) -> dict[str, Any]:
    style, counts = entry.get(STYLE), entry.get(COUNTS, ())
    style_dials = padded(entry.get(STYLE_DIALS, ()), len(counts))
    content_dials = padded(entry.get(CONTENT_DIALS, ()), len(entry.get("reference_latents", ())))
    text = {"strength": entry.get(TEXT_STRENGTH, 1.0), "shared": TEXT_STRENGTH in entry}
    biases = (
        key_bias(style_dials, counts),
        key_bias(content_dials, (1,) * len(content_dials)),
        key_bias([text], (1,)),
    )
    added: dict[str, Any] = {
        key: CONDRegular(bias.to(device)) for key, bias in zip(_SET, biases, strict=False) if bias is not None
    }
    drawn = regions((*style_dials, *content_dials), *size)
    if drawn is not None:
        added[_SET[-1]] = CONDNoiseShape(drawn.to(device))
    plan = plan_of(style_dials, counts, content_dials)
    if added or any(plan[1:]):
        added[_PLAN] = CONDConstant(plan)
    if style is not None:
        added[STYLE] = CONDRegular(style.to(device, dtype))
    return {**entry, "model_conds": {**entry["model_conds"], **added}} if added else entry


def _watched(extra_args: dict[str, Any], watch: _Watch) -> dict[str, Any]:
    """Return the sampler's arguments with a watch in the transformer options of every call."""
    options = extra_args.get("model_options", {})
    inner = {**options.get("transformer_options", {}), _WATCH: watch}
    return {**extra_args, "model_options": {**options, "transformer_options": inner}}


def _compute_dtype(model: Any) -> torch.dtype | None:
    # Casting here saves the cast ComfyUI would repeat in every network call.
    return model.get_dtype_inference() if hasattr(model, "get_dtype_inference") else None
