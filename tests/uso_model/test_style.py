"""Style pictures and layers: equal to transformers' SigLIP, and the three ways to fit a picture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from comfyui_uso.uso_model.errors import UserError
from comfyui_uso.uso_model.style import (
    SIGLIP_SIZE,
    StyleLayers,
    select_style_features,
    siglip_pixels,
    siglip_preprocess,
    style_layers,
)
from PIL import Image
from transformers import SiglipVisionConfig, SiglipVisionModel

try:  # transformers 5 keeps the PIL one, with which USO was trained, under this name
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil as Processor
except ImportError:
    from transformers.models.siglip.image_processing_siglip import SiglipImageProcessor as Processor


def _processor() -> Processor:
    """The preprocessing that google/siglip-so400m-patch14-384 ships with."""
    half = [0.5, 0.5, 0.5]
    size = {"height": SIGLIP_SIZE, "width": SIGLIP_SIZE}
    return Processor(size=size, resample=Image.Resampling.BICUBIC, image_mean=half, image_std=half)


@pytest.mark.parametrize(("width", "height"), [(384, 384), (500, 300), (97, 640), (20, 31)])
def test_squash_equals_transformers_to_the_pixel(width: int, height: int) -> None:
    picture = random_picture(width, height)
    resized = Processor(
        size={"height": 384, "width": 384},
        resample=Image.Resampling.BICUBIC,
        do_rescale=False,
        do_normalize=False,
    )(picture, return_tensors="np")["pixel_values"][0]
    assert np.array_equal(siglip_pixels(picture).astype(np.float32), resized.transpose(1, 2, 0).astype(np.float32))
    expected = _processor()(picture, return_tensors="pt")["pixel_values"]
    assert (siglip_preprocess(picture) - expected).abs().max() <= 1e-6


def test_official_layers() -> None:
    assert style_layers(27) == StyleLayers(high=26, mid=17, low=8)
    states = tuple(torch.full((1, 2, 3), float(i)) for i in range(28))
    features = select_style_features(states, 27)
    assert features.high is states[-2] and features.mid is states[-11] and features.low is states[-20]


@pytest.mark.parametrize("layers", [5, 6, 12, 24, 40])
def test_other_depths_have_three_rising_levels(layers: int) -> None:
    high, mid, low = style_layers(layers)
    assert 0 < low < mid < high == layers - 1


def test_shallow_towers_and_wrong_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="no three style levels"):
        style_layers(4)
    with pytest.raises(ValueError, match="expected 28 hidden states"):
        select_style_features((torch.zeros(1),) * 27, 27)


@torch.no_grad()
def test_levels_are_outputs_of_their_layers_in_transformers() -> None:
    config = SiglipVisionConfig(
        hidden_size=24,
        intermediate_size=32,
        num_hidden_layers=6,
        num_attention_heads=2,
        image_size=32,
        patch_size=16,
    )
    torch.manual_seed(0)
    tower = SiglipVisionModel(config).eval()
    outputs: list[torch.Tensor] = []
    layers = next(m for name, m in tower.named_modules() if name.endswith("encoder.layers"))
    for layer in layers:
        layer.register_forward_hook(lambda _m, _i, out: outputs.append(out[0] if isinstance(out, tuple) else out))
    states = tower(torch.rand(1, 3, 32, 32), output_hidden_states=True).hidden_states
    features = select_style_features(states, 6)
    for got, layer in zip(features, style_layers(6), strict=True):
        assert torch.equal(got, outputs[layer - 1])


@pytest.mark.parametrize("fit", ["squash", "center", "pad"])
def test_a_square_of_the_right_size_is_left_alone(fit: str) -> None:
    picture = random_picture(24, 24)
    assert np.array_equal(siglip_pixels(picture, 24, fit), np.asarray(picture))


@pytest.mark.parametrize(("width", "height"), [(40, 20), (20, 40), (31, 7), (2, 9)])
def test_center_crops_and_pad_fills_with_mid_grey_before_the_same_resize(width: int, height: int) -> None:
    picture = random_picture(width, height)
    short, long = min(width, height), max(width, height)
    left, top = (width - short) // 2, (height - short) // 2
    cut = picture.crop((left, top, left + short, top + short))
    assert np.array_equal(siglip_pixels(picture, 20, "center"), siglip_pixels(cut, 20))
    padded = siglip_pixels(picture, long, "pad")
    left, top = (long - width) // 2, (long - height) // 2
    assert np.array_equal(padded[top : top + height, left : left + width], np.asarray(picture))
    assert (padded == 128).all(axis=2).sum() >= long * long - width * height
    assert np.array_equal(siglip_pixels(picture, 20, "pad"), siglip_pixels(Image.fromarray(padded), 20))


def test_unknown_fits_and_endless_strips_are_refused() -> None:
    with pytest.raises(UserError, match="unknown fit 'stretch'"):
        siglip_pixels(random_picture(8, 8), 4, "stretch")
    with pytest.raises(UserError, match=r"20000x2 pixels to pad.*set fit to squash or center"):
        siglip_pixels(Image.new("RGB", (20_000, 2)), 4, "pad")


def random_picture(width: int, height: int) -> Image.Image:
    """Return a picture of noise, on which every resize differs from every other."""
    return Image.fromarray(np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8))
