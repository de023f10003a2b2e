"""Key lists and random weights, written from the published shapes and independent of the model classes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from comfyui_uso.uso_model.config import FluxConfig
from torch import Tensor

Shapes = dict[str, tuple[int, ...]]

TINY = FluxConfig(
    in_channels=64,
    vec_in_dim=12,
    context_in_dim=20,
    hidden_size=128,
    mlp_ratio=2.0,
    num_heads=1,
    depth=1,
    depth_single_blocks=2,
    axes_dim=(16, 56, 56),
    theta=10_000,
    qkv_bias=True,
    guidance_embed=True,
)


def _linear(name: str, out: int, into: int) -> Shapes:
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def _flux_shapes(config: FluxConfig) -> Shapes:
    """The keys of a FLUX.1 file: black-forest-labs/flux, src/flux/model.py and modules/layers.py."""
    h, mlp, head = config.hidden_size, int(config.hidden_size * config.mlp_ratio), 128
    shapes = _linear("img_in", h, config.in_channels) | _linear("txt_in", h, config.context_in_dim)
    embedders = {"time_in": 256, "vector_in": config.vec_in_dim}
    if config.guidance_embed:
        embedders["guidance_in"] = 256
    for name, width in embedders.items():
        shapes |= _linear(f"{name}.in_layer", h, width) | _linear(f"{name}.out_layer", h, h)
    for i in range(config.depth):
        for stream in ("img", "txt"):
            at = f"double_blocks.{i}.{stream}"
            shapes |= _linear(f"{at}_mod.lin", 6 * h, h)
            shapes |= _linear(f"{at}_attn.qkv", 3 * h, h) | _linear(f"{at}_attn.proj", h, h)
            shapes |= {f"{at}_attn.norm.{side}_norm.scale": (head,) for side in ("query", "key")}
            shapes |= _linear(f"{at}_mlp.0", mlp, h) | _linear(f"{at}_mlp.2", h, mlp)
    for i in range(config.depth_single_blocks):
        at = f"single_blocks.{i}"
        shapes |= _linear(f"{at}.linear1", 3 * h + mlp, h) | _linear(f"{at}.linear2", h, h + mlp)
        shapes |= {f"{at}.norm.{side}_norm.scale": (head,) for side in ("query", "key")}
        shapes |= _linear(f"{at}.modulation.lin", 3 * h, h)
    shapes |= _linear("final_layer.linear", config.in_channels, h)
    return shapes | _linear("final_layer.adaLN_modulation.1", 2 * h, h)


def _lora_shapes(config: FluxConfig, rank: int) -> Shapes:
    """The keys of a USO LoRA: bytedance/USO, uso/flux/util.py and modules/layers.py."""
    h, mlp = config.hidden_size, int(config.hidden_size * config.mlp_ratio)
    sizes = {}
    for i in range(config.depth):
        for stream in (1, 2):
            sizes[f"double_blocks.{i}.processor.qkv_lora{stream}"] = (h, 3 * h)
            sizes[f"double_blocks.{i}.processor.proj_lora{stream}"] = (h, h)
    for i in range(config.depth_single_blocks):
        sizes[f"single_blocks.{i}.processor.qkv_lora"] = (h, 3 * h)
        sizes[f"single_blocks.{i}.processor.proj_lora"] = (h + mlp, h)
    shapes: Shapes = {}
    for name, (into, out) in sizes.items():
        shapes |= {f"{name}.down.weight": (rank, into), f"{name}.up.weight": (out, rank)}
    return shapes


def _projector_shapes(tokens_in: int, tokens_out: int, dim_in: int, dim_out: int) -> Shapes:
    """The 18 keys of a projector file: bytedance/USO, uso/flux/modules/layers.py."""
    shapes: Shapes = {}
    for level in ("high", "mid", "low"):
        at = f"feature_embedder.{level}"
        shapes |= _linear(f"{at}_embedding_linear.0", tokens_out, tokens_in)
        shapes |= {f"{at}_layer_norm.weight": (dim_in,), f"{at}_layer_norm.bias": (dim_in,)}
        shapes |= _linear(f"{at}_projection", dim_out, dim_in)
    return shapes


def _random(shapes: Shapes, seed: int = 0) -> dict[str, Tensor]:
    """Weights that keep activations near 1: scales around 1, matrices by their fan-in, small biases."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in shapes.items():
        values = torch.randn(shape, generator=generator)
        if name.endswith((".scale", "norm.weight", "norm1.weight", "norm2.weight", "norm_out.weight")):
            weights[name] = 1 + 0.1 * values
        elif len(shape) > 1:
            weights[name] = values / torch.Size(shape[1:]).numel() ** 0.5
        else:
            weights[name] = 0.1 * values
    return weights


@pytest.fixture(scope="session")
def tiny() -> FluxConfig:
    return TINY


@pytest.fixture(scope="session")
def flux_shapes() -> Callable[[FluxConfig], Shapes]:
    return _flux_shapes


@pytest.fixture(scope="session")
def lora_shapes() -> Callable[[FluxConfig, int], Shapes]:
    return _lora_shapes


@pytest.fixture(scope="session")
def projector_shapes() -> Callable[[int, int, int, int], Shapes]:
    return _projector_shapes


@pytest.fixture(scope="session")
def random_weights() -> Callable[..., dict[str, Tensor]]:
    return _random


@pytest.fixture
def tiny_flux() -> dict[str, Tensor]:
    """Random weights of a tiny FLUX under BFL's names."""
    return _random(_flux_shapes(TINY))


@pytest.fixture
def tiny_lora() -> dict[str, Tensor]:
    """Random USO LoRA of rank 4 for the tiny FLUX."""
    return _random(_lora_shapes(TINY, 4), seed=1)


@pytest.fixture
def tiny_projector() -> dict[str, Tensor]:
    """Random projector: 9 tokens of width 10 to 3 x 4 tokens of width 128."""
    return _random(_projector_shapes(9, 4, 10, 128), seed=2)
