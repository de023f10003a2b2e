"""The reader: how references and their dials get from a conditioning into FLUX.

Style tokens are a plain tensor under the key `uso_style` of a conditioning entry. On the MODEL there are two wrappers
and nothing else: no patch that other packs would walk through, and without references they change nothing. The outer
one hands the tensors of every entry to ComfyUI's batching, before ComfyUI copies entries between the sides for areas;
that is what makes latent batches, CFG, regions and timestep ranges work. The inner one moves them from a call's
keywords to that call's transformer options, puts strengths and regions into its attention mask, and adds the patches
that the network calls: one puts the tokens before the text tokens at position zero (USO, `uso/flux/model.py`: style
tokens come first and carry zero ids), one inside attention serves weights of single blocks and the fast form. Both
wrappers run outside the part that torch.compile sees, and the patches are kept out of it: a compiled network does not
look again whether its transformer options hold a style.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from comfy.model_base import BaseModel
from comfy.patcher_extension import WrappersMP
from comfy.samplers import CFGGuider
from comfy.utils import repeat_to_batch_size
from torch import Tensor

from ...uso_model.errors import UserError
from ..graph.guard import unguarded
from ..graph.host_types import Guider, Model
from ..graph.keys import (
    ATTENTION,
    ATTENTION_MASK,
    ISOLATED,
    KEPT,
    METHOD,
    MODEL_CONDS,
    PLACES,
    PLAN,
    READER,
    READING,
    REFERENCES,
    RUN,
    STYLE,
    TURN,
    UNO_METHOD,
)
from ..graph.model_checks import check_content_fits, check_flux, check_style_fits
from ..sockets import Content
from .areas import with_partners
from .attention import AttentionInputs, layout_of, patch_attention
from .compile_guard import trace_anew
from .host_call import HostCall
from .insertion import insert_references
from .isolated.hooks import isolated_run, take_reading, with_wrappers
from .isolated.patch import patch_isolated
from .known_inputs import KnownInputs
from .plan import Plan, entry_conds, take_plan
from .reuse.hooks import reuse_run, take_turn, with_requests
from .reuse.patch import patch_references

__all__ = ["has_reader", "install_reader"]

logger = logging.getLogger(__name__)

Patches = dict[str, list[Any]]
"""ComfyUI's patches of a network's calls, by their kind."""


@dataclass(slots=True)
class _Run:
    """One sampling with references; an object, because ComfyUI copies the lists in transformer options."""

    patches: Patches
    """Ours, the same for every call: a compiled network is not traced anew for each of them."""
    sent: bool = False
    """Whether a call had something for the input patch."""
    inserted: bool = False
    """Whether the input patch ran."""
    inputs: KnownInputs = field(default_factory=KnownInputs)
    """What the attention of its calls gets."""


def hand_over(executor: Any, *args: Any, **kwargs: Any) -> Any:
    """Give the entries' tokens and dials to the batching code, moved to the load device once per run.

    Says so afterwards if the network has never asked for them.

    Raises:
        UserError: the MODEL cannot take what an entry carries.
    """
    noise: Tensor = HostCall(executor.original, args, kwargs, ("noise",), CFGGuider.outer_sample).get("noise")
    guider: Guider = executor.class_obj
    model = guider.model_patcher
    device, dtype = model.load_device, _compute_dtype(model.model)
    size = (noise.shape[-2], noise.shape[-1])
    found = False
    for name, entries in guider.conds.items():
        added = [entry_conds(entry, device, dtype, size) for entry in entries]
        guider.conds[name] = [_handed(entry, conds) for entry, conds in zip(entries, added, strict=True)]
        for entry, conds in zip(entries, added, strict=True):
            found = found or bool(conds)
            if conds or entry.get(METHOD) == UNO_METHOD:
                _check_entry(entry, model)
    isolated = isolated_run(guider, dtype)
    reuse = reuse_run(guider, noise.shape[0], dtype) if isolated is None else None
    found = found or isolated is not None or reuse is not None
    inner = [patch_references] if reuse is not None else [patch_isolated] if isolated is not None else []
    run = _Run(_patches(guider.conds, inner) if found else {})
    trace_anew(model, run.patches)
    if not found:
        return executor(*args, **kwargs)
    guider.conds = with_partners(guider.conds)
    before = guider.model_options
    watched = _watched(before, {RUN: run, KEPT: reuse, ISOLATED: isolated})
    if isolated is not None:
        watched = with_wrappers(watched)
    if reuse is not None:
        watched = with_requests(watched)
    guider.model_options = watched
    try:
        out = executor(*args, **kwargs)
    finally:
        guider.model_options = before
        for part in (isolated, reuse):
            if part is not None:
                part.end()
    if run.sent and not run.inserted:
        logger.error(
            "The style, or the subject's placement, had no effect: something (such as Nunchaku, or another node that "
            "replaces FLUX's forward) runs the network without ComfyUI's input patches, expected ComfyUI's own FLUX: "
            "take that node out, or load the model with Load Diffusion Model."
        )
    return out


def route(executor: Any, *args: Any, **kwargs: Any) -> Any:
    """Move what was handed over from one call's keywords to where the network looks for it."""
    names = ("x", "c_crossattn", "transformer_options")
    call = HostCall(executor.original, args, kwargs, names, BaseModel._apply_model)
    style, plan = call.take(STYLE), take_plan(call)
    _check_regions(plan, call.get("x"))
    _repeat_references(call)
    layout = layout_of(call.get("x"), call.get("c_crossattn"), style, call.get("ref_latents") or ())
    # Another node's mask has to grow with the sequence, and is joined with ours, whichever of our tensors is there.
    ours = style is not None or bool(layout.references) or plan.changes_attention
    options = call.get("transformer_options", {})
    run: _Run | None = options.get(RUN)
    known = KnownInputs() if run is None else run.inputs
    inputs = known.of(layout, plan, call.get(ATTENTION_MASK) if ours else None)
    _check_others(options.get("patches", {}), inputs)
    added: dict[str, Any] = {}
    reading = take_reading(executor.class_obj, options, style, call.get("ref_latents") or ())
    turn = take_turn(options, layout, call.get("x"), executor.class_obj)
    if reading is not None:  # content tokens leave the sequence where the network has given them positions
        added[READING], style = reading, None
    if turn is not None:
        added[TURN] = turn
    if turn is not None and turn.replays:  # what was kept stands in for the tokens, at the places they had
        style, plan = None, replace(plan, places=())
        call.take("ref_latents")
    if reading is not None or (turn is not None and turn.replays):
        inputs = inputs.rows(layout.style, layout.length - sum(layout.references))
    if style is not None:
        added[STYLE] = style
    if plan.places:
        added[PLACES] = plan.places
    if not inputs.alike:
        added[ATTENTION] = inputs
        call.take(ATTENTION_MASK)  # it is part of every block's own mask
    elif inputs.masks[0] is not None:
        call.set(ATTENTION_MASK, inputs.masks[0])
    if run is not None:
        added["patches"] = _joined(run.patches, options.get("patches", {}))
        run.sent = run.sent or STYLE in added or PLACES in added
    if added:
        call.set("transformer_options", {**options, **added})
    try:
        return call.pass_on(executor)
    finally:
        if turn is not None:
            options[KEPT].finish(turn)


def has_reader(model: Model) -> bool:
    """Say whether a MODEL carries the reader."""
    return bool(model.get_wrappers(WrappersMP.OUTER_SAMPLE, READER))


def install_reader(model: Model) -> Model:
    """Return a clone of a MODEL with the reader, or the MODEL itself where it has it already."""
    if has_reader(model):
        return model
    patched = model.clone()
    patched.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, READER, hand_over)
    patched.add_wrapper_with_key(WrappersMP.APPLY_MODEL, READER, route)
    return patched


def _repeat_references(call: HostCall) -> None:
    """Give every row of a call its reference latents: packs that draw tiles in batches repeat only what they know."""
    rows, references = call.get("x").shape[0], call.get("ref_latents") or []
    if any(0 < latent.shape[0] < rows for latent in references):
        call.set("ref_latents", [repeat_to_batch_size(latent, rows) for latent in references])


def _check_regions(plan: Plan, x: Tensor) -> None:
    """Check that regions were drawn for the latent of a call, not for one of which it is a tile.

    Raises:
        UserError: they were not.
    """
    if plan.regions is not None and plan.regions.shape[-2:] != x.shape[-2:]:
        (height, width), (high, wide) = plan.regions.shape[-2:], x.shape[-2:]
        raise UserError(
            f"Got a region for a latent of {width}x{height} in a call for a tile of {wide}x{high}, expected the whole "
            "latent at once: for regions in tiles use Conditioning (Set Mask) with a USO Apply for each prompt."
        )


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


def _handed(entry: dict[str, Any], conds: dict[str, Any]) -> dict[str, Any]:
    """Return an entry with what ComfyUI is to batch for its references, in place of its guard."""
    return {**entry, MODEL_CONDS: {**unguarded(entry.get(MODEL_CONDS, {})), **conds}}


def _check_entry(entry: dict[str, Any], model: Model) -> None:
    """Check that a MODEL can take an entry's references, which nodes without a MODEL could not.

    Raises:
        UserError: it cannot.
    """
    check_flux(model)
    if entry.get(STYLE) is not None:
        check_style_fits(entry[STYLE], model)
    if entry.get(REFERENCES):
        check_content_fits(Content(latents=tuple(entry[REFERENCES])), model)


def _patches(conds: dict[str, list[dict[str, Any]]], references: list[Any]) -> Patches:
    """Return the patches that the entries of a run need.

    Args:
        conds: entries of all sides.
        references: patches inside attention that bring references back, before dials scale values.
    """
    plans = [entry[MODEL_CONDS][PLAN].cond for part in conds.values() for entry in part if PLAN in entry[MODEL_CONDS]]
    inner = any(plan.blocks or plan.fast for plan in plans)
    attention = [*references, *([patch_attention] if inner else [])]
    return {"post_input": [insert_references], **({"attn1_patch": attention} if attention else {})}


def _joined(ours: Patches, others: Patches) -> Patches:
    """Return all patches, ours first: those of others, such as Flux KV Cache, count on the whole sequence."""
    return {**others, **{kind: [*patches, *others.get(kind, ())] for kind, patches in ours.items()}}


def _watched(options: dict[str, Any], added: dict[str, Any]) -> dict[str, Any]:
    """Return a MODEL's options with a run, and what it keeps, in the transformer options of every call."""
    there = {key: part for key, part in added.items() if part is not None}
    return {**options, "transformer_options": {**options.get("transformer_options", {}), **there}}


def _compute_dtype(model: Any) -> torch.dtype | None:
    # Casting here saves the cast ComfyUI would repeat in every network call.
    return model.get_dtype_inference() if hasattr(model, "get_dtype_inference") else None
