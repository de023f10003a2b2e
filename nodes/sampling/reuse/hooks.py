"""Where reusing references meets ComfyUI's sampler: at the start of a run, of an evaluation, a request and a call."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from comfy.model_base import BaseModel
from comfy.patcher_extension import WrappersMP
from comfy.samplers import CFGGuider
from torch import Tensor

from ....uso_model.dials.bias import Layout
from ....uso_model.errors import UserError
from ...graph.host_types import Guider
from ...graph.keys import KEPT, REUSE
from ...graph.model_checks import block_counts, hidden_size
from ..host_call import HostCall
from .memory import Sizes, kept_bytes, most_tokens, with_room
from .parts import parts_of
from .run import ReuseRun, Turn
from .settings import ReuseSettings

__all__ = ["begin_evaluation", "reserve_memory", "reuse_run", "take_turn", "with_requests"]

logger = logging.getLogger(__name__)


def reuse_run(guider: Guider, rows: int, dtype: torch.dtype | None) -> ReuseRun | None:
    """Return what a sampling keeps of references, with nothing in it; None where its MODEL reuses nothing.

    Args:
        guider: that samples.
        rows: latents in its batch.
        dtype: that the network computes in; None: unknown.

    Raises:
        UserError: Flux KV Cache is on the MODEL, too.
    """
    options = guider.model_options.get("transformer_options", {})
    settings: ReuseSettings | None = options.get(REUSE)
    tokens = rows * most_tokens(entry for entries in guider.conds.values() for entry in entries)
    if settings is None or not tokens:
        return None
    if any(type(patch).__name__ == "KV_Attn_Input" for patch in options.get("patches", {}).get("attn1_patch", [])):
        raise UserError(
            "Got USO Reuse References together with Flux KV Cache, which both keep what references are read by, "
            "expected one of them: take out Flux KV Cache."
        )
    model = guider.model_patcher
    itemsize = (dtype or torch.bfloat16).itemsize
    sizes = Sizes(hidden_size(model), sum(block_counts(model)), itemsize, settings.depth)
    return ReuseRun(settings, sizes, kept_bytes(tokens, sizes), parts_of(guider.conds))


def reserve_memory(
    executor: Any, model: Any, noise_shape: Sequence[int], conds: dict[str, Any], *args: Any, **kwargs: Any
) -> Any:
    """Have ComfyUI leave room for what a run keeps, or keep it in RAM; a wrapper of its `prepare_sampling`."""
    run = _run_of(kwargs.get("model_options") or {})
    if run is None:
        return executor(model, noise_shape, conds, *args, **kwargs)
    prepared, fits = with_room(run.plan, executor, model, noise_shape, conds, *args, **kwargs)
    if not fits:
        run.in_ram = True
        logger.info("USO Reuse References keeps %.1f GB in RAM, because the card has no room for it.", run.plan / 1e9)
    return prepared


def begin_evaluation(executor: Any, *args: Any, **kwargs: Any) -> Any:
    """Tell a run that the sampler asks for the next prediction; a wrapper of ComfyUI's `predict_noise`."""
    run = _run_of(executor.class_obj.model_options)
    if run is not None:
        names = ("x", "timestep", "model_options")
        call = HostCall(executor.original, args, kwargs, names, CFGGuider.predict_noise)
        sigmas = call.get("model_options", {}).get("transformer_options", {}).get("sample_sigmas")
        run.begin_evaluation(call.get("x"), float(call.get("timestep").flatten()[0]), sigmas)
    return executor(*args, **kwargs)


def begin_request(
    executor: Any, model: Any, conds: Any, x_in: Tensor, timestep: Any, model_options: dict[str, Any]
) -> Any:
    """Tell a run which calls belong together; a wrapper of ComfyUI's `_calc_cond_batch`."""
    run = _run_of(model_options)
    if run is None:
        return executor(model, conds, x_in, timestep, model_options)
    with run.during(conds, x_in):
        return executor(model, conds, x_in, timestep, model_options)


def with_requests(options: dict[str, Any]) -> dict[str, Any]:
    """Return a MODEL's options with that wrapper, for one sampling.

    It is the outermost one: a request counts even if a cache of another node (EasyCache) answers it.
    """
    inner = options.get("transformer_options", {})
    wrappers: dict[str, Any] = inner.get("wrappers", {})
    own = {REUSE: [begin_request], **wrappers.get(WrappersMP.CALC_COND_BATCH, {})}
    added = {**wrappers, WrappersMP.CALC_COND_BATCH: own}
    return {**options, "transformer_options": {**inner, "wrappers": added}}


def take_turn(options: Mapping[str, Any], layout: Layout, x: Tensor, model: BaseModel) -> Turn | None:
    """Return whether a call keeps its references or reads what was kept; None where it does neither.

    Args:
        options: transformer options of the call.
        layout: of its sequence.
        x: its latents.
        model: that is called.
    """
    run: ReuseRun | None = options.get(KEPT)
    if run is None or not (layout.style or layout.references):
        return None
    hooks = getattr(getattr(model, "current_patcher", None), "current_hooks", None)
    weights = () if hooks is None else tuple((id(hook), hook.strength) for hook in hooks.hooks)
    return run.turn(options, layout, x, weights)


def _run_of(model_options: Mapping[str, Any]) -> ReuseRun | None:
    run: ReuseRun | None = model_options.get("transformer_options", {}).get(KEPT)
    return run
