"""The transformer: real sizes on the meta device, and what references must and must not change."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from comfyui_uso.uso_model.checkpoints.flux import from_bfl
from comfyui_uso.uso_model.checkpoints.strict import load_strict
from comfyui_uso.uso_model.config import FLUX_DEV, FLUX_SCHNELL, FluxConfig
from comfyui_uso.uso_model.positions import image_ids, reference_ids, text_ids
from comfyui_uso.uso_model.transformer import UsoTransformer
from torch import Tensor


@pytest.mark.parametrize(
    ("config", "tensors", "parameters"),
    [(FLUX_DEV, 780, 11_901_408_320), (FLUX_SCHNELL, 776, 11_891_178_560)],
)
def test_full_size_key_list(flux_shapes: Callable, config: FluxConfig, tensors: int, parameters: int) -> None:
    published = flux_shapes(config)
    assert len(published) == tensors
    with torch.device("meta"):
        model = UsoTransformer(config)
        load_strict(
            model,
            from_bfl({name: torch.empty(shape) for name, shape in published.items()}),
            "flux1.safetensors",
        )
    assert sum(p.numel() for p in model.parameters()) == parameters


@pytest.fixture
def model(tiny: FluxConfig, tiny_flux: dict[str, Tensor]) -> UsoTransformer:
    model = UsoTransformer(tiny).eval()
    load_strict(model, from_bfl(tiny_flux), "tiny")
    return model


def _inputs(batch: int = 1, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "img": torch.randn(batch, 12, 64, generator=generator),
        "img_ids": image_ids(3, 4),
        "txt": torch.randn(batch, 5, 20, generator=generator),
        "txt_ids": text_ids(5),
        "timesteps": torch.linspace(0.9, 0.4, batch),
        "y": torch.randn(batch, 12, generator=generator),
        "guidance": torch.full((batch,), 4.0),
    }


@torch.no_grad()
def test_batch_items_do_not_see_each_other(model: UsoTransformer) -> None:
    both = _inputs(batch=2)
    style = torch.randn(2, 6, 128, generator=torch.Generator().manual_seed(1))
    joint = model(**both, style=style)
    for i in range(2):
        alone = {k: v[i : i + 1] if v.shape[0] == 2 else v for k, v in both.items()}
        assert (model(**alone, style=style[i : i + 1]) - joint[i : i + 1]).abs().max() <= 1e-5


@torch.no_grad()
def test_style_token_order_does_not_matter(model: UsoTransformer) -> None:
    style = torch.randn(1, 6, 128, generator=torch.Generator().manual_seed(1))
    a, b = model(**_inputs(), style=style), model(**_inputs(), style=style.flip(1))
    assert (a - b).abs().max() <= 1e-5
    assert (a - model(**_inputs())).abs().max() > 1e-2


@torch.no_grad()
def test_references_change_the_output_but_not_its_shape(model: UsoTransformer) -> None:
    refs = [torch.randn(1, 6, 64, generator=torch.Generator().manual_seed(2))]
    out = model(**_inputs(), refs=refs, ref_ids=reference_ids((3, 4), [(2, 3)]))
    assert out.shape == (1, 12, 64)
    assert (out - model(**_inputs())).abs().max() > 1e-2


def test_missing_guidance_is_refused(model: UsoTransformer) -> None:
    inputs = _inputs()
    del inputs["guidance"]
    with pytest.raises(ValueError, match="guidance"):
        model(**inputs)


def test_tokens_without_positions_are_refused(model: UsoTransformer) -> None:
    with pytest.raises(ValueError, match="positions"):
        model(**_inputs(), refs=[torch.zeros(1, 6, 64)])
