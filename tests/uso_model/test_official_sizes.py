"""Sizes of the drawn picture and sampling times of any size, against what the official code gives."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from comfyui_uso.uso_model.errors import UserError
from comfyui_uso.uso_model.images import cropped_size, fit_content_image, layout_size
from comfyui_uso.uso_model.schedule import official_schedule
from PIL import Image
from safetensors.torch import load_file


@pytest.fixture(scope="module")
def sizes(official: Path) -> dict[str, torch.Tensor]:
    return load_file(official / "sizes.safetensors")


def test_the_drawn_size_is_the_official_one(sizes: dict[str, torch.Tensor]) -> None:
    rows = sizes["layout"].tolist()
    wrong = [(w, h, side) for w, h, side, *drawn in rows if layout_size(w, h, 1024, side) != tuple(drawn)]
    assert len(rows) > 4000 and wrong == []


def test_times_are_the_official_ones_for_sizes_between_the_multiples(sizes: dict[str, torch.Tensor]) -> None:
    for (width, height), times in zip(sizes["schedule_sizes"].tolist(), sizes["schedule_times"], strict=True):
        assert torch.equal(official_schedule(len(times) - 1, width, height), times), (width, height)


@pytest.mark.parametrize("size", [(1000, 700), (832, 1216), (16, 16), (31, 64), (500, 333)])
def test_the_drawn_size_scales_what_the_vae_sees(size: tuple[int, int]) -> None:
    seen = fit_content_image(Image.new("RGB", size), 512).size
    assert cropped_size(*size, 512) == seen
    assert layout_size(*size, 1024) == tuple(2 * side for side in seen)


def test_no_side_is_0() -> None:
    assert layout_size(512, 17, 128) == (128, 16)
    with pytest.raises(UserError, match="less than one token"):
        layout_size(4000, 100, 1024)
