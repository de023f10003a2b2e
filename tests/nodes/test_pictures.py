"""Pictures and masks of every kind: read as what they are, or refused in one sentence that names the cause."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from comfyui_uso.nodes.content import EncodeContent
from comfyui_uso.nodes.graph.convert import pil_from_image
from comfyui_uso.nodes.graph.dial_inputs import read_dial
from comfyui_uso.nodes.graph.pictures import read_mask, visible_part
from comfyui_uso.nodes.style import EncodeStyle
from comfyui_uso.uso_model.errors import UserError
from hypothesis import given, settings
from hypothesis import strategies as st

from .test_errors import refused

FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.float8_e4m3fn]
OTHERS = [torch.uint8, torch.bool, torch.int32, torch.int64, torch.complex64]
RGB = (torch.randint(0, 256, (2, 12, 10, 3), generator=torch.Generator().manual_seed(0))).float() / 255
ALPHA = torch.linspace(0, 1, 10).expand(2, 12, 10)
MASK = torch.linspace(1, 0, 12)[:, None].expand(12, 10)


class Pixels:
    """A VAE that keeps what it is given."""

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        self.given = pixels
        return torch.zeros(1, 16, pixels.shape[1] // 8, pixels.shape[2] // 8)


VISION: Any = SimpleNamespace(
    model_type="siglip_vision_model",
    image_size=28,
    encode_image=lambda image, crop: SimpleNamespace(all_hidden_states=torch.zeros(1, 6, 4, 8)),
)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_tensor_is_a_picture_or_one_sentence(data: st.DataObject) -> None:
    sides = st.integers(0, 5)
    shape = st.one_of(
        st.tuples(st.integers(0, 3), sides, sides, st.sampled_from([0, 1, 2, 3, 4, 5])),
        st.lists(sides, max_size=6).map(tuple),
    )
    masks = st.one_of(
        st.just((3, 4)), st.just((1, 3, 4)), st.just((2, 1, 3, 4)), st.just((2, 3, 4, 1)), st.lists(sides, max_size=5)
    )
    image = filled(data.draw(shape), data.draw(st.sampled_from(FLOATS + OTHERS)), data)
    mask = filled(tuple(data.draw(masks)), data.draw(st.sampled_from(FLOATS + OTHERS)), data)
    fit = data.draw(st.sampled_from(["squash", "center", "pad"]))
    for shown in (
        lambda: EncodeStyle.execute(VISION, image, fit, mask).result[1],
        lambda: EncodeContent.execute(Pixels(), image, 32, 32, mask).result[2],
        lambda: read_mask(mask, None, "style_region"),
        lambda: pil_from_image(visible_part(image, None, "style", 0.5)[0]),
    ):
        try:
            found = shown()
        except UserError as error:
            assert "\n" not in str(error) and str(error).endswith(".")
            continue
        if isinstance(found, torch.Tensor):
            assert found.dtype == torch.float32 and found.min() >= 0 and found.max() <= 1


def filled(shape: tuple[int, ...], dtype: torch.dtype, data: st.DataObject) -> torch.Tensor:
    """Return a tensor of one value, with another in its first place."""
    if dtype.is_floating_point:
        values = [0.0, 0.5, 1.0, -3.0, 300.0, float("nan"), float("inf"), float("-inf")]
    else:
        values = [0, 1, 255]
    most, first = (data.draw(st.sampled_from(values)) for _ in range(2))
    tensor = torch.full(shape, most, dtype=torch.float64)
    tensor.view(-1)[:1] = first
    return tensor.to(dtype)


@pytest.mark.parametrize("dtype", FLOATS[:4])
def test_precisions_are_read_in_float32(dtype: torch.dtype) -> None:
    found = visible_part(RGB.to(dtype), MASK.to(dtype), "style", 0.5)
    expected = visible_part(RGB.to(dtype).float(), MASK.to(dtype).float(), "style", 0.5)
    assert found.dtype == torch.float32 and torch.equal(found, expected)
    small = MASK[::2, ::2].to(dtype)  # resized, which half precision cannot do on a CPU
    assert torch.equal(visible_part(RGB, small, "style", 0.5), visible_part(RGB, small.float(), "style", 0.5))


def test_bytes_are_divided() -> None:
    found = visible_part((RGB * 255).round().byte(), None, "content", 1.0)
    assert torch.equal(found, RGB)
    mask = torch.tensor([[[0, 51, 255]]], dtype=torch.uint8)
    assert torch.equal(read_mask(mask, None, "style"), torch.tensor([[[0, 0.2, 1]]]))
    assert torch.equal(read_mask(mask.clamp(max=1), None, "style"), torch.tensor([[[0.0, 1, 1]]]))
    assert torch.equal(read_mask(mask > 0, None, "style"), torch.tensor([[[0.0, 1, 1]]]))


def test_values_outside_are_clamped() -> None:
    wild = torch.tensor([-5.0, 0.25, 1e30, 0.5]).to(torch.float64).expand(1, 2, 2, 4).clone()
    wild[..., 2] = 1e300
    assert torch.equal(visible_part(wild[..., :3], None, "style", 0.5)[0, 0, 0], torch.tensor([0.0, 0.25, 1.0]))
    assert torch.equal(read_mask(wild[0, :, :, 2] * -1, None, "style"), torch.zeros(1, 2, 2))


@pytest.mark.parametrize("grey", [0.5, 1.0])
def test_alpha_is_the_mask_where_none_is_given(grey: float) -> None:
    both = torch.cat([RGB, ALPHA[..., None]], dim=-1)
    assert torch.equal(visible_part(both, None, "content", grey), visible_part(RGB, ALPHA, "content", grey))
    assert torch.equal(visible_part(both, MASK, "content", grey), visible_part(RGB, MASK, "content", grey))
    whole = torch.cat([RGB, torch.ones(2, 12, 10, 1)], dim=-1)
    assert torch.equal(visible_part(whole, None, "content", grey), RGB)


def test_both_references_take_alpha() -> None:
    cut = torch.cat([torch.zeros(1, 32, 32, 3), torch.zeros(1, 32, 32, 1)], dim=-1)
    cut[:, :, :16, 3] = 1
    vae = Pixels()
    EncodeContent.execute(vae, cut, 32, 32, background="white")
    assert (vae.given[:, :, :14] == 0).all() and (vae.given[:, :, 18:] == 1).all()


def test_a_grey_picture_is_its_rgb() -> None:
    grey = RGB[..., :1]
    assert torch.equal(
        visible_part(grey, MASK, "style", 0.5), visible_part(grey.expand(2, 12, 10, 3), MASK, "style", 0.5)
    )
    assert pil_from_image(grey[0]).mode == "RGB"


@pytest.mark.parametrize("shape", [(2, 12, 10), (2, 1, 12, 10), (2, 12, 10, 1)])
def test_masks_with_a_channel_are_taken(shape: tuple[int, ...]) -> None:
    mask = torch.stack([MASK, 1 - MASK])
    assert torch.equal(read_mask(mask.reshape(shape), 2, "style"), mask)
    assert torch.equal(read_mask(mask[:1].reshape(1, *shape[1:]), 2, "style"), mask[:1])
    region = read_dial("style", {"style_region": mask.reshape(shape)}, (1, 1)).region
    assert torch.equal(region, mask)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((5,), ("shape \\(5,\\)", "Convert Image to Mask")),
        ((12, 10, 1), ("shape \\(12, 10, 1\\)", "masks, height, width")),
        ((12, 10, 3), ("shape \\(12, 10, 3\\)", "Convert Image to Mask")),
        ((1, 12, 10, 3), ("shape \\(1, 12, 10, 3\\)", "Convert Image to Mask")),
        ((1, 1, 1, 12, 10), ("shape", "masks, height, width")),
        ((3, 12, 10), ("3 masks for 2 style images",)),
        ((), ("empty mask of shape \\(\\)",)),
    ],
)
def test_masks_of_another_shape(shape: tuple[int, ...], words: tuple[str, ...]) -> None:
    with refused(*words):
        read_mask(torch.ones(shape), 2, "style")
    if "masks for" not in words[0]:
        with refused("style_region"):
            read_dial("style", {"style_region": torch.ones(shape)}, (1, 1))


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((8, 8), ("shape \\(8, 8\\)", "4 dimensions")),
        ((8, 8, 3), ("shape \\(8, 8, 3\\)", "4 dimensions")),
        ((1, 1, 8, 8, 3), ("4 dimensions",)),
        ((0, 8, 8, 3), ("empty batch",)),
        ((1, 8, 8, 2), ("2 channels", "Split Image with Alpha")),
        ((1, 8, 8, 5), ("5 channels", "Split Image with Alpha")),
        ((1, 3, 8, 8), ("8 channels", "channels second")),
        ((1, 8, 0, 3), ("0x8 pixels",)),
        ((1, 1, 1, 3), ("1x1 pixels", "16 pixels")),
    ],
)
def test_pictures_of_another_shape(shape: tuple[int, ...], words: tuple[str, ...]) -> None:
    with refused("style image", *words):
        visible_part(torch.zeros(shape), None, "style", 0.5)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.complex64])
def test_whole_numbers_are_refused(dtype: torch.dtype) -> None:
    kind = str(dtype).removeprefix("torch.")
    with refused(kind, "style image", "floating point"):
        visible_part(torch.zeros(1, 8, 8, 3, dtype=dtype), None, "style", 0.5)
    with refused(kind, "mask for style", "floating point"):
        visible_part(torch.zeros(1, 8, 8, 3), torch.zeros(8, 8, dtype=dtype), "style", 0.5)


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_poison_is_refused_in_any_precision(poison: float, dtype: torch.dtype) -> None:
    image, mask = torch.zeros(2, 4, 4, 4, dtype=dtype), torch.ones(4, 4, dtype=dtype)
    image[1, 2, 3, 3] = poison
    with refused("content image", "NaN or infinite"):
        visible_part(image, None, "content", 1.0)
    mask[0, 0] = poison
    with refused("mask for content", "NaN or infinite"):
        visible_part(RGB[:1], mask, "content", 1.0)


EMPTY: dict[str, Any] = {
    "style mask": lambda: visible_part(RGB, torch.zeros(64, 64), "style", 0.5),
    "content mask": lambda: visible_part(RGB, torch.zeros(2, 64, 64), "content", 0.5),
    "one of two": lambda: visible_part(RGB, torch.stack([MASK, MASK * 0]), "content", 0.5),
    "alpha": lambda: visible_part(torch.cat([RGB, 0 * RGB[..., :1]], dim=-1), None, "style", 0.5),
    "style region": lambda: read_dial("style", {"style_region": torch.zeros(3, 8, 8)}, (1, 1)),
    "content region": lambda: read_dial("content", {"content_region": torch.zeros(8, 8)}, (1, 1)),
}


@pytest.mark.parametrize("case", EMPTY)
def test_an_empty_mask_is_told_once(case: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        EMPTY[case]()
    (record,) = caplog.records
    words = ("0 everywhere", "Load Image", "Invert Mask")
    assert record.levelname == "WARNING" and all(word in record.getMessage() for word in words)
    assert ("in 1 of 2 pictures" in record.getMessage()) == (case == "one of two")


def test_other_masks_are_not_told(caplog: pytest.LogCaptureFixture) -> None:
    visible_part(RGB, MASK, "style", 0.5)
    visible_part(torch.cat([RGB, ALPHA[..., None]], dim=-1), None, "style", 0.5)
    read_dial("style", {"style_region": torch.stack([MASK, MASK * 0])}, (1, 1))
    assert caplog.records == []
