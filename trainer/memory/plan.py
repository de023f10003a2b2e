"""How much memory a recipe will need, on the GPU and in RAM, phase by phase, computed before anything is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

import torch

from ...uso_model.config import FluxConfig
from ...uso_model.errors import UserError
from ...uso_model.schedule import token_count
from ..data.cache_plan import cache_bytes
from ..data.lazy_rows import joined
from ..data.manifest import Row, read_manifest
from ..encoders.judges import named_judges
from ..family import family_of
from ..recipe import TrainConfig
from .activations import activations
from .encoder_sizes import autoencoder_size, judge_bytes, siglip_size, text_sizes
from .phases import PROMPTS, Items, MemoryPlan, Phase
from .small_plan import SmallSizes, small_phases
from .weights import Weights, flux_sizes, lora_values, start_bytes, trained_values, transformer_weights

__all__ = ["Device", "MemoryPlan", "Phase", "memory_text", "plan", "small_sizes"]

Device = Literal["cuda", "cpu"]

TEXT_TOKENS, STYLE_TOKENS = 512, 192
"""T5's padded length, and three levels of 64 tokens a style reference."""

CONTEXT = 1.5e9
"""Bytes of CUDA's own context and of the allocator's slack; our own estimate."""

PROCESS = {"cpu": 0.45e9, "cuda": 2e9}
"""Bytes of RAM that Python and the libraries take: measured on the CPU, our own estimate with CUDA."""


ENCODE, DECODE, DECODE_WITH_GRADIENT = 3_110, 4_420, 9_430
"""Bytes a pixel of encoding and decoding in float32; with a gradient after `checkpoint_decoder`. Measured in the same
way."""

_BYTES = {"fp32": 4, "bf16": 2, "fp8": 1}
_OPTIMIZER = {"adamw": 16, "prodigy": 24, "adamw8bit": 10}
"""Bytes a trained value needs for itself, its gradient and the optimizer's state."""


def memory_text(config: TrainConfig, device: Device = "cuda") -> str:
    """Return what a recipe needs of memory: a table, or its family's own line."""
    return family_of(config).memory_note(config) or plan(config, device=device).text()


def plan(
    config: TrainConfig, sizes: FluxConfig | None = None, device: Device = "cuda", free: float | None = None
) -> MemoryPlan:
    """Return what a recipe needs; weights are counted exactly, activations by formula.

    Args:
        config: the recipe. Files that it names and that are there are counted by their headers.
        sizes: of the transformer; None takes those of its file, or FLUX.1-dev's, or what the family says of its own.
        device: what computes; on `cpu` everything lies in RAM.
        free: bytes that are free on the GPU, which decide where prompts are encoded; None: there is room for them.
    """
    small = small_sizes(config) if sizes is None else None
    if small is not None:
        return _small(config, small, device)
    sizes = sizes or flux_sizes(config)
    phases = [_prompts(config, device, free), _pictures(config, device), *_after_encoding(config, sizes, device)]
    return MemoryPlan(tuple(phases), _tokens(config, config.data.sizes[-1]), config.models.text_device == "auto")


def small_sizes(config: TrainConfig) -> SmallSizes | None:
    """Return what the family says of its small networks, None where it says nothing."""
    told = getattr(family_of(config), "memory_sizes", None)
    return None if told is None else told(config)


def _small(config: TrainConfig, sizes: SmallSizes, device: Device) -> MemoryPlan:
    def tokens(size: int) -> int:
        return _tokens(config, size, sizes.text_tokens, sizes.style_tokens)

    most = tokens(config.data.sizes[-1])
    phases = small_phases(config, sizes, most, 0 if config.reward is None else tokens(config.reward.size))
    # In half precision: features, text, and the latents of target and content.
    row = sizes.features + sizes.text_tokens * sizes.flux.context_in_dim + 2 * sizes.flux.in_channels * most
    kept = 2 * row * len(_rows(config))
    waiting: Items = {"encodings in RAM": min(config.data.cache_memory * 2**30, kept)}
    return MemoryPlan(tuple(_phase(name, device, part, waiting, {}) for name, part in phases.items()), most, False)


def _phase(name: str, device: Device, computing: Items, waiting: Items, mapped: Items) -> Phase:
    """Return a phase whose networks compute on a device, and lie in RAM where that is the CPU."""
    ram = {"Python and libraries": PROCESS[device], **waiting}
    gpu = {**computing, "CUDA and slack": CONTEXT}
    if device == "cpu":
        gpu, ram = {}, {**computing, **ram}
    return Phase(name, *({name: size for name, size in items.items() if size} for items in (gpu, ram, mapped)))


def _prompts(config: TrainConfig, device: Device, free: float | None) -> Phase:
    """T5 and CLIP, without SigLIP and the autoencoder."""
    found = text_sizes(config.models, torch.device("cuda"))
    size = sum(one.held + one.block for one in found.values())
    asked = config.models.text_device
    on_gpu = device == "cuda" and (asked == "cuda" or (asked == "auto" and (free is None or size + CONTEXT <= free)))
    if on_gpu:
        held = {name: one.held for name, one in found.items()}
        return _phase(PROMPTS, device, {**held, "T5 at work": found["T5"].block}, {}, {})
    found = text_sizes(config.models, torch.device("cpu"))
    held = {name: one.held - one.mapped for name, one in found.items()}
    mapped = {f"{name}'s file": one.mapped for name, one in found.items()}
    phase = _phase(PROMPTS, device, {}, {**held, "T5 at work": found["T5"].block}, mapped)
    return phase._replace(gpu={})


def _pictures(config: TrainConfig, device: Device) -> Phase:
    """SigLIP and the autoencoder together, and the judges of a reward."""
    siglip, autoencoder = siglip_size(config.models), autoencoder_size(config.models)
    own = device == "cpu"
    computing = {
        "SigLIP": siglip.held - siglip.mapped * own,
        "autoencoder": autoencoder.held - autoencoder.mapped * own,
        "judges": _judges(config, rewards=True),
        "encoding a target": ENCODE * max(config.data.sizes[-1], config.data.content_size) ** 2,
    }
    mapped = {"SigLIP's file": siglip.mapped * own, "the autoencoder's file": autoencoder.mapped * own}
    return _phase("encoding pictures", device, computing, {}, mapped)


def _after_encoding(config: TrainConfig, sizes: FluxConfig, device: Device) -> list[Phase]:
    """Reading the networks, training, drawing samples and saving."""
    weights, values = transformer_weights(config, sizes), trained_values(config, sizes)
    held, waiting = _held(config, sizes, weights, values, device)
    mapped = start_bytes(config, sizes)
    reading = {"frozen weights": held["frozen weights"], "a matrix in float32, with a LoRA": 3 * 4 * weights.matrix}
    phases = [_phase("reading FLUX", device, reading, waiting, mapped)]
    waiting |= {"encodings in RAM": _encodings(config)}
    mapped = {"FLUX's file": weights.mapped if device == "cpu" else weights.mapped_modulation}
    for name, momentary in _momentary(config, sizes, values).items():
        if device == "cpu" and config.memory.base == "fp8":
            momentary["matrices multiplied out"] = (2 + 4) * weights.matrix
        phases.append(_phase(name, device, held | momentary, waiting, mapped))
    phases.append(_phase("saving", device, held, waiting | {"files in the making": _saving(config, sizes)}, mapped))
    return phases


def _held(config: TrainConfig, sizes: FluxConfig, weights: Weights, values: int, device: Device) -> tuple[Items, Items]:
    """Return what is there from the first step to the last: where the networks compute, and what waits in RAM."""
    cpu = device == "cpu"
    states = _OPTIMIZER.get(config.loop.optimizer, _OPTIMIZER["adamw"]) + 4 * (config.loop.ema is not None)
    states += 4 * sum(
        term is not None for term in (config.reward, config.prior_preservation)
    )  # their gradients, to compare
    mapped = weights.mapped - weights.mapped_modulation
    online = siglip_size(config.models)
    held = {
        "frozen weights": 0 if config.stage == "base" else weights.resident - mapped * cpu,
        "places for visiting blocks": 2 * _largest_block(config, sizes) if config.memory.blocks_to_swap else 0,
        "trained values and optimizer": values * states,
        "autoencoder and judges": 0
        if config.reward is None
        else autoencoder_size(config.models).held + _judges(config, rewards=True),
        "SigLIP": online.held if config.data.style_features == "online" else 0,
    }
    # torch rounds page-locked memory up to a power of two.
    blocks = sum(size if cpu else 1 << (int(size) - 1).bit_length() for size in weights.blocks)
    return held, {"blocks in RAM": blocks, "modulation in RAM": weights.modulation - weights.mapped_modulation}


def _momentary(config: TrainConfig, sizes: FluxConfig, values: int) -> dict[str, Items]:
    """Return what is there only for a while; no two of these are there at once."""
    rows = config.loop.micro_batch or config.loop.batch_size
    phases: dict[str, Items] = {
        "training": {"activations": rows * activations(config, sizes, _tokens(config, config.data.sizes[-1]))}
    }
    reward = config.reward
    if reward is not None:
        passes = reward.active if reward.form == "endpoint" else 1
        inputs = passes * activations(config, sizes, _tokens(config, reward.size))
        phases["rewarding"] = {"activations and decoding": rows * (inputs + DECODE_WITH_GRADIENT * reward.size**2)}
    if config.monitor.samples_every:
        live = 4 * values if config.loop.ema is not None else 0  # put aside while the averages are in the network
        models = autoencoder_size(config.models).held if reward is None else 0
        decoding = DECODE * config.monitor.most_pixels(config.data.sizes[-1])
        witnesses = _judges(config, rewards=False)
        seeing = {"autoencoder": models, "other judges": witnesses, "decoding": decoding}
        phases["drawing samples"] = {"live weights, put aside": live, **seeing}
    return phases


def _judges(config: TrainConfig, rewards: bool) -> float:
    """Return the bytes of the judges of the reward, or of those that look at samples alone."""
    own = {} if config.reward is None else config.reward.judges
    files = named_judges(config).items()
    return sum(judge_bytes(name, path) for name, path in files if (name in own) == rewards)


def _saving(config: TrainConfig, sizes: FluxConfig) -> float:
    """Return the bytes of an export while it is written and read back: float32, and twice in half precision."""
    if config.stage != "triplet":
        return 8 * trained_values(config, sizes)
    values = lora_values(config, sizes)
    if config.lora.start == "add":
        values += round(start_bytes(config, sizes)["the LoRA's file"] / 2)
    return 8 * values


def _encodings(config: TrainConfig) -> float:
    """Return the bytes of encodings that are kept, all of them or as many as the recipe allows."""
    allowed, rows = config.data.cache_memory * 2**30, _rows(config)
    return min(allowed, cache_bytes(config, rows)) if rows else allowed


def _tokens(config: TrainConfig, size: int, text: int = TEXT_TOKENS, style: int = STYLE_TOKENS) -> int:
    counts = [len(row.contents) for row in _rows(config)] or [1]
    contents = min(max(counts), config.data.contents) if config.stage == "triplet" else 0
    if config.conditions.style_path == "vae":
        style = config.data.content_size**2 // 256
    styles = style * config.data.styles if config.stage != "base" else 0
    return text + styles + token_count(size, size) + contents * config.data.content_size**2 // 256


def _rows(config: TrainConfig) -> Sequence[Row]:
    """Return the rows of a recipe, none where a manifest cannot be read: who needs them says why."""
    try:
        return _read_rows(tuple((source.path, source.path.stat().st_mtime_ns) for source in config.data.sources))
    except (UserError, OSError):
        return ()


@lru_cache(maxsize=2)
def _read_rows(manifests: tuple[tuple[Path, int], ...]) -> Sequence[Row]:
    """Read manifests once for all the plans that are made of them; the time of a change tells another version."""
    return joined([read_manifest(path, split=None) for path, _ in manifests])


def _largest_block(config: TrainConfig, sizes: FluxConfig) -> float:
    """Return the bytes of a double-stream block's matrices: 12 width^2 of each stream, and 12 of modulation."""
    modulation = 12 if config.memory.modulation == "resident" else 0
    return (24 + modulation) * sizes.hidden_size**2 * _BYTES[config.memory.base]
