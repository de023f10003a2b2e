"""Where isolated references meet ComfyUI's sampler: at the start of a run, of an evaluation and of a model call."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ....uso_model.errors import UserError
from ...graph.host_types import Guider, Model
from ...graph.isolation import NOTHING_TO_DO, is_isolated, says_isolated
from ...graph.keys import ISOLATED, REFERENCES, REUSE, STYLE
from ...graph.model_checks import block_counts, hidden_size
from ..reuse.memory import Sizes, kept_bytes, tokens_of, with_room
from .reading import Reading
from .run import IsolatedRun

__all__ = ["isolated_run", "take_reading", "with_wrappers"]

logger = logging.getLogger(__name__)


def isolated_run(guider: Guider, dtype: torch.dtype | None) -> IsolatedRun | None:
    """Return the isolated references of a sampling; None where it has none, or its MODEL's references see everything.

    Args:
        guider: that samples.
        dtype: that the network computes in; None: unknown.

    Raises:
        UserError: the LoRA comes by a hook on the conditioning, or another node reuses references, too.
    """
    model = guider.model_patcher
    entries = [entry for part in guider.conds.values() for entry in part]
    referring = [entry for entry in entries if entry.get(STYLE) is not None or entry.get(REFERENCES)]
    for entry in entries:
        if "hooks" in entry and referring and says_isolated(model.get_combined_hook_patches(entry["hooks"])):
            raise UserError(
                "Got a LoRA with isolated references as a hook on a conditioning, expected it on the MODEL: load it "
                "with USO Load Models, or a LoRA loader before the sampler."
            )
    if not referring or not is_isolated(model):
        return None
    options = guider.model_options.get("transformer_options", {})
    if options.get(REUSE) is not None:
        logger.info("%s", NOTHING_TO_DO)
    if any(type(patch).__name__ == "KV_Attn_Input" for patch in options.get("patches", {}).get("attn1_patch", [])):
        raise UserError(
            "Got Flux KV Cache on a MODEL whose LoRA has isolated references, which are computed once anyway, expected "
            "the MODEL without it: take that node out."
        )
    sizes = Sizes(hidden_size(model), sum(block_counts(model)), (dtype or torch.bfloat16).itemsize)
    return IsolatedRun(_weights(model), sizes, kept_bytes(_rows_of_tokens(referring), sizes))


def reserve_room(executor: Any, *args: Any, **kwargs: Any) -> Any:
    """Have ComfyUI leave room for the references, or keep them in RAM; a wrapper of its `prepare_sampling`."""
    options = kwargs.get("model_options") or {}
    run: IsolatedRun | None = options.get("transformer_options", {}).get(ISOLATED)
    if run is None:
        return executor(*args, **kwargs)
    prepared, fits = with_room(run.plan, executor, *args, **kwargs)
    if not fits:
        run.in_ram = True
        logger.info("USO keeps isolated references (%.1f GB) in RAM, the card has no room for them.", run.plan / 1e9)
    return prepared


def begin_evaluation(executor: Any, *args: Any, **kwargs: Any) -> Any:
    """Tell a run that the sampler asks for the next prediction; a wrapper of ComfyUI's `predict_noise`."""
    run: IsolatedRun | None = executor.class_obj.model_options.get("transformer_options", {}).get(ISOLATED)
    if run is not None:
        run.begin_evaluation()
    return executor(*args, **kwargs)


def with_wrappers(options: dict[str, Any]) -> dict[str, Any]:
    """Return a MODEL's options with these wrappers, for one sampling."""
    inner = options.get("transformer_options", {})
    wrappers: dict[str, Any] = inner.get("wrappers", {})
    own = {WrappersMP.PREPARE_SAMPLING: reserve_room, WrappersMP.PREDICT_NOISE: begin_evaluation}
    added = {kind: {**wrappers.get(kind, {}), ISOLATED: [wrapper]} for kind, wrapper in own.items()}
    return {**options, "transformer_options": {**inner, "wrappers": {**wrappers, **added}}}


def take_reading(
    base: Any, options: Mapping[str, Any], style: Tensor | None, contents: Sequence[Tensor]
) -> Reading | None:
    """Return what a call reads of its references; None where it has none, or they are in the sequence.

    Args:
        base: ComfyUI's BaseModel that is called.
        options: transformer options of the call.
        style: style tokens `b L D`.
        contents: latents `b c h w`.
    """
    run: IsolatedRun | None = options.get(ISOLATED)
    if run is None or (style is None and not contents):
        return None
    return run.reading(base, style, contents)


def _weights(model: Model) -> Hashable:
    """Return what tells a MODEL's weights and layers from those that the network has with other nodes.

    ComfyUI's number of the patches stays the same where layers are wrapped (Load LoRA (Bypass)) or exchanged. What does
    that is held weakly: it must go when its MODEL goes.
    """
    wrapped = [(key, weakref.ref(part)) for key, parts in model.injections.items() for part in parts]
    exchanged = [
        (name, weakref.ref(part))
        for name, part in model.object_patches.items()
        if name.startswith("diffusion_model.") and callable(part)
    ]
    return model.patches_uuid, tuple(wrapped), tuple(exchanged)


def _rows_of_tokens(entries: Sequence[Mapping[str, Any]]) -> int:
    """Return the tokens of all references, those that entries with the same hooks share once, and batches by rows."""
    found: dict[Hashable, int] = {}
    for entry in entries:
        parts = [part for part in (entry.get(STYLE), *(entry.get(REFERENCES) or ())) if part is not None]
        hooks = entry["hooks"].hooks if entry.get("hooks") is not None else ()
        weights = tuple((hook.hook_ref, id(hook.hook_keyframe)) for hook in hooks)
        found[weights, tuple(map(id, parts))] = tokens_of(entry) * max(map(len, parts))
    return sum(found.values())
