"""How references and their dials get from a conditioning into FLUX.

Style tokens are a plain tensor under the key `uso_style` of a conditioning entry. Hooks, installed once on a MODEL,
carry them on: the sampler hook gives the tensors of every entry to ComfyUI's batching (which is what makes latent
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
from comfy.model_base import BaseModel
from comfy.patcher_extension import WrappersMP
from comfy.samplers import KSAMPLER
from torch import Tensor

from ...uso_model.errors import UserError
from ..graph.host_types import Guider, Model
from ..graph.keys import ATTENTION, ATTENTION_MASK, HOOK, PLACES, RUN, STYLE
from .attention import AttentionInputs, attention_inputs, layout_of, patch_attention
from .compile_guard import trace_anew
from .host_call import HostCall
from .placement import placed
from .plan import entry_conds, take_plan

__all__ = ["has_hooks", "install_hooks", "route_references", "send_references"]

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Run:
    """What has happened in a run; an object, because ComfyUI copies the lists in transformer options."""

    sent: bool = False
    """Whether a call had something for the input patch."""
    inserted: bool = False
    """Whether the input patch ran."""


def send_references(executor: Any, *args: Any, **kwargs: Any) -> Any:
    """Give the entries' tokens and dials to the batching code, moved to the load device once per run.

    Says so afterwards if the network has never asked for them.
    """
    names = ("model_wrap", "extra_args", "noise")
    call = HostCall(executor.original, args, kwargs, names, KSAMPLER.sample)
    guider: Guider = call.get("model_wrap")
    noise: Tensor = call.get("noise")
    patcher = guider.model_patcher
    device, dtype = patcher.load_device, _compute_dtype(patcher.model)
    size = (noise.shape[-2], noise.shape[-1])
    guider.conds = {
        name: [_with_conds(entry, device, dtype, size) for entry in entries] for name, entries in guider.conds.items()
    }
    trace_anew(patcher)
    run = _Run()
    call.set("extra_args", _watched(call.get("extra_args"), run))
    out = call.pass_on(executor)
    if run.sent and not run.inserted:
        logger.error(
            "The style, or the subject's placement, had no effect: something (such as Nunchaku, or another node that "
            "replaces FLUX's forward) runs the network without ComfyUI's input patches, expected ComfyUI's own FLUX: "
            "take that node out, or load the model with Load Diffusion Model."
        )
    return out


def route_references(executor: Any, *args: Any, **kwargs: Any) -> Any:
    """Move what the sampler hook has sent from one call's keywords to where the network looks for it."""
    names = ("x", "c_crossattn", "transformer_options")
    call = HostCall(executor.original, args, kwargs, names, BaseModel._apply_model)
    style, plan = call.take(STYLE), take_plan(call)
    layout = layout_of(call.get("x"), call.get("c_crossattn"), style, call.get("ref_latents") or ())
    # Another node's mask has to grow with the sequence, and is joined with ours, whichever of our tensors is there.
    ours = style is not None or bool(layout.references) or plan.changes_attention
    inputs = attention_inputs(layout, plan, call.get(ATTENTION_MASK) if ours else None)
    options = call.get("transformer_options", {})
    _check_others(options.get("patches", {}), inputs)
    added: dict[str, Any] = {}
    if style is not None:
        added[STYLE] = style
    if plan.places:
        added[PLACES] = plan.places
    if not inputs.alike:
        added[ATTENTION] = inputs
        call.take(ATTENTION_MASK)  # it is part of every block's own mask
    elif inputs.masks[0] is not None:
        call.set(ATTENTION_MASK, inputs.masks[0])
    if added:
        call.set("transformer_options", {**options, **added})
    out = call.pass_on(executor)
    if added and RUN in options:
        options[RUN].sent = True
    return out


@torch.compiler.disable
def insert_references(inputs: dict[str, Any]) -> dict[str, Any]:
    """Put the style tokens before the text tokens (`B L D`), with position ids of zero, and move references."""
    options = inputs["transformer_options"]
    style, places = options.get(STYLE), options.get(PLACES)
    if style is not None:
        txt: Tensor = inputs["txt"]
        ids: Tensor = inputs["txt_ids"]
        style = style.to(txt).expand(txt.shape[0], -1, -1)
        inputs["txt"] = torch.cat([style, txt], dim=1)
        inputs["txt_ids"] = torch.cat([ids.new_zeros(ids.shape[0], style.shape[1], ids.shape[2]), ids], dim=1)
    if places is not None:
        inputs["img_ids"] = placed(inputs["img_ids"], options["reference_image_num_tokens"], places)
    if RUN in options:
        options[RUN].inserted = True
    return inputs


def has_hooks(model: Model) -> bool:
    """Say whether a MODEL already carries the hooks."""
    return bool(model.get_wrappers(WrappersMP.SAMPLER_SAMPLE, HOOK))


def install_hooks(model: Model, in_attention: bool = False) -> Model:
    """Return a clone of a MODEL with the hooks, or the MODEL itself where it has them already.

    Args:
        model: a FLUX.1 MODEL.
        in_attention: also the hook that block weights and the fast form need.
    """
    patches = model.model_options.get("transformer_options", {}).get("patches", {})
    has_inner = patch_attention in patches.get("attn1_patch", [])
    if has_hooks(model) and (has_inner or not in_attention):
        return model
    patched = model.clone()
    if not has_hooks(model):
        patched.add_wrapper_with_key(WrappersMP.SAMPLER_SAMPLE, HOOK, send_references)
        patched.add_wrapper_with_key(WrappersMP.APPLY_MODEL, HOOK, route_references)
        patched.set_model_post_input_patch(insert_references)
    if in_attention and not has_inner:
        patched.set_model_attn1_patch(patch_attention)
    return patched


def _check_others(patches: dict[str, list[Any]], inputs: AttentionInputs) -> None:
    """Refuse masks and values beside patches of ComfyUI that change the number of tokens without telling.

    Raises:
        UserError: such a patch is there.
    """
    if inputs.none:
        return
    if any(type(patch).__name__ == "UsoStyleProjectorPatch" for patch in patches.get("post_input", [])):
        raise UserError(
            "Got a dial together with ComfyUI's own USO style node, whose tokens no other node can see, expected "
            "styles from USO Apply only: replace that node with USO Encode Style, USO Project Style and USO Apply."
        )
    single_tokens = any(mask is not None and mask.shape[2] > 1 for mask in inputs.masks)
    if single_tokens and any(type(patch).__name__ == "KV_Attn_Input" for patch in patches.get("attn1_patch", [])):
        raise UserError(
            "Got a region, or another mask for single tokens, together with Flux KV Cache, expected one of them: the "
            "cache changes the number of tokens between steps, so take out that node, or the region."
        )


def _with_conds(
    entry: dict[str, Any], device: torch.device, dtype: torch.dtype | None, size: tuple[int, int]
) -> dict[str, Any]:
    """Return an entry with what ComfyUI is to batch for its references."""
    added = entry_conds(entry, device, dtype, size)
    return {**entry, "model_conds": {**entry["model_conds"], **added}} if added else entry


def _watched(extra_args: dict[str, Any], run: _Run) -> dict[str, Any]:
    """Return the sampler's arguments with a run's record in the transformer options of every call."""
    options = extra_args.get("model_options", {})
    inner = {**options.get("transformer_options", {}), RUN: run}
    return {**extra_args, "model_options": {**options, "transformer_options": inner}}


def _compute_dtype(model: Any) -> torch.dtype | None:
    # Casting here saves the cast ComfyUI would repeat in every network call.
    return model.get_dtype_inference() if hasattr(model, "get_dtype_inference") else None
