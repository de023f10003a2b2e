"""What tests of reused references share: the node, a count of what is computed, and an oracle of the steps between."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import comfy.sample
import torch
from comfy.ldm.flux.math import apply_rope
from comfyui_uso.nodes.reuse import ReuseReferences
from comfyui_uso.nodes.sampling.reuse.kept import CORRECTION

__all__ = ["Lengths", "counting", "held", "longest_steps", "prepared", "reusing", "sampled", "small", "step_of"]

Lengths = list[tuple[int, int]]
"""Step and queries of every attention."""


def reusing(
    model: Any, every: int = 3, form: str = "corrected", first: int = 1, last: int = 0, tolerance: float = 0.0
) -> Any:
    """Return a MODEL with the node."""
    return ReuseReferences.execute(model, every, form, first, last, tolerance).result[0]


def small(style: Any) -> Any:
    """Return a style of a few tokens, for speed."""
    return replace(style, tokens=style.tokens[:, :12], counts=(12,))


def sampled(
    model: Any,
    positive: Any,
    negative: Any = (),
    steps: int = 6,
    cfg: float = 1.0,
    batch: int = 1,
    name: str = "euler",
    size: int = 8,
    **more: Any,
) -> torch.Tensor:
    """Return the latent of a sampling; equal arguments give equal noise."""
    latent = more.pop("latent", torch.zeros(batch, 16, size, size))
    noise = comfy.sample.prepare_noise(latent, 7)
    torch.manual_seed(1)
    options = {"disable_pbar": True, "seed": 1, **more}
    return comfy.sample.sample(model, noise, steps, cfg, name, "simple", positive, list(negative), latent, **options)


def counting(model: Any, lengths: Lengths) -> Any:
    """Return a MODEL that notes how many queries each of its attentions has."""

    def note(q: Any, k: Any, v: Any, extra_options: dict[str, Any], **_: Any) -> dict[str, Any]:
        lengths.append((step_of(extra_options), q.shape[2]))
        return {}

    patched = model.clone()
    patched.set_model_attn1_patch(note)
    return patched


def step_of(options: dict[str, Any]) -> int:
    """Return the step that a call belongs to: the last one that does not begin below it."""
    time, sigmas = float(options["sigmas"][0]), options["sample_sigmas"].tolist()
    return [number for number, sigma in enumerate(sigmas[:-1]) if sigma >= time - 1e-6][-1]


def longest_steps(lengths: Lengths) -> list[int]:
    """Return the steps in which references were computed."""
    longest = max(length for _, length in lengths)
    return sorted({step for step, length in lengths if length == longest})


def held(model: Any, every: int = 3, form: str = "corrected", first: int = 1) -> Any:
    """Return a MODEL whose sequence is always whole, and whose references' keys and values are replaced in between.

    The oracle of the node: no token is ever left out, only what text and picture read of references is another.
    """
    depth = 1 if form == "hold" else 2
    kept: dict[Any, list[tuple[int, float, torch.Tensor, torch.Tensor]]] = {}
    slopes: dict[Any, list[torch.Tensor]] = {}
    calls: dict[Any, int] = {}

    def put_back(q: Any, k: Any, v: Any, pe: Any, extra_options: dict[str, Any], **_: Any) -> dict[str, Any]:
        q, k = apply_rope(q, k, pe)
        style, content = _counts(extra_options)
        if not style + content:
            return {"q": q, "k": k, "v": v, "pe": None}
        step, time = step_of(extra_options), float(extra_options["sigmas"][0])
        block = (extra_options["block_type"], extra_options["block_index"], *map(str, extra_options["uuids"]))
        block += (*extra_options["cond_or_uncond"], *v.shape)
        calls[step, block] = calls.get((step, block), -1) + 1
        key = (block, calls[step, block])
        known = kept.setdefault(key, [])
        if step < first or len(known) < depth or step - known[-1][0] >= every:
            if form != "hold" and known and known[-1][1] < 1:  # nothing is drawn from pure noise
                found = [(x - was) / (time - known[-1][1]) for x, was in zip((k, v), known[-1][2:], strict=True)]
                gain = CORRECTION if form == "corrected" and key in slopes else 0.0
                slopes[key] = [d + gain * (d - s) for d, s in zip(found, slopes.get(key, found), strict=True)]
            known.append((step, time, k.clone(), v.clone()))
            return {"q": q, "k": k, "v": v, "pe": None}
        refs = torch.zeros(k.shape[2], dtype=torch.bool)
        refs[:style], refs[k.shape[2] - content :] = True, True
        _, last, *new = known[-1]
        ahead = [now + (time - last) * s for now, s in zip(new, slopes[key], strict=True)] if key in slopes else new
        k[:, :, refs], v[:, :, refs] = (part[:, :, refs] for part in ahead)
        return {"q": q, "k": k, "v": v, "pe": None}

    patched = model.clone()
    patched.set_model_attn1_patch(put_back)
    return patched


def _counts(options: dict[str, Any]) -> tuple[int, int]:
    style = options.get("uso_style")
    return 0 if style is None else style.shape[1], sum(options.get("reference_image_num_tokens", ()))


def prepared(model: Any, shape: Any, conds: Any, model_options: Any) -> Any:
    """Stand for ComfyUI's preparation of a sampling, which asks one entry for the room that it needs."""
    assert sum(len(entries) for entries in conds.values()) == 1
    return model, conds, []
