"""Preprocessing: to the digit as published, by torch as by Pillow, and no picture is too long for it."""

from __future__ import annotations

import pytest
import torch
from comfyui_uso.uso_model.errors import UserError
from comfyui_uso.uso_model.images import picture_tensor
from comfyui_uso.uso_model.judging import clip, csd, dino, style_encoder
from PIL import Image

from .networks import emoji, photographs

PUBLISHED = [clip.PREPROCESSING, dino.PREPROCESSING, csd.PREPROCESSING, style_encoder.PREPROCESSING]


def test_clip_and_csd_are_open_clips() -> None:
    open_clip = pytest.importorskip("open_clip")
    settings = {"mean": clip.PREPROCESSING.mean, "std": clip.PREPROCESSING.deviation, "interpolation": "bicubic"}
    theirs = open_clip.image_transform(224, is_train=False, resize_mode="shortest", **settings)
    for picture in photographs() + emoji():
        assert torch.equal(clip.PREPROCESSING.of_picture(picture), theirs(picture))
    assert clip.PREPROCESSING == csd.PREPROCESSING


def test_dino_is_torchvisions() -> None:
    """As facebookresearch/dino composes it."""
    transforms = pytest.importorskip("torchvision.transforms")
    ours = dino.PREPROCESSING
    theirs = transforms.Compose(
        [
            transforms.Resize(256, interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize(ours.mean, ours.deviation),
        ]
    )
    for picture in photographs() + emoji():
        assert torch.equal(ours.of_picture(picture), theirs(picture))


def test_the_style_encoder_is_transformers() -> None:
    """Its crop differs from torchvision's by a pixel where the rest is odd."""
    module = pytest.importorskip("transformers.models.clip.image_processing_pil_clip")
    theirs = module.CLIPImageProcessorPil()
    odd = photographs()[0].resize((400, 267))
    for picture in [*photographs(), *emoji(), odd]:
        expected = theirs(images=picture, return_tensors="pt").pixel_values[0]
        assert torch.allclose(style_encoder.PREPROCESSING.of_picture(picture), expected, atol=1e-5)
    assert not torch.equal(style_encoder.PREPROCESSING.of_picture(odd), clip.PREPROCESSING.of_picture(odd))


@pytest.mark.parametrize("ours", PUBLISHED, ids=["clip", "dino", "csd", "style_encoder"])
def test_torch_does_what_pillow_does(ours) -> None:
    for picture in photographs() + emoji():
        by_pillow, by_torch = ours.of_picture(picture), ours.of_pixels(picture_tensor(picture))[0]
        assert by_pillow.shape == by_torch.shape == (3, 224, 224)
        assert torch.cosine_similarity(by_pillow.flatten(), by_torch.flatten(), dim=0) > 1 - 1e-3


def test_sizes_that_nobody_expects() -> None:
    for width, height in ((1, 1), (1, 3000), (90_000, 2), (223, 225)):
        picture = Image.effect_noise((width, height), 60).convert("RGB")
        for ours in PUBLISHED:
            by_pillow, by_torch = ours.of_picture(picture), ours.of_pixels(picture_tensor(picture))[0]
            assert by_pillow.shape == by_torch.shape == (3, 224, 224)
            assert torch.cosine_similarity(by_pillow.flatten(), by_torch.flatten(), dim=0) > 1 - 1e-2
    with pytest.raises(UserError, match="got a picture of 0 x 5 pixels"):
        clip.PREPROCESSING.of_picture(Image.new("RGB", (0, 5)))


def test_a_grey_picture_becomes_rgb() -> None:
    grey = photographs()[0].convert("L")
    assert torch.equal(clip.PREPROCESSING.of_picture(grey), clip.PREPROCESSING.of_picture(grey.convert("RGB")))
