"""Fitting a content picture: sizes for any input, pixels against the reference formula."""

from __future__ import annotations

import numpy as np
import pytest
from comfyui_uso.uso_model.images import fit_content_image, fitted_size
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image


def _picture(width: int, height: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 64).map(lambda n: 16 * n))
def test_size_keeps_the_long_side_and_truncates_the_short(width: int, height: int, long_side: int) -> None:
    short = int((long_side / max(width, height)) * min(width, height))
    assume(short >= 16)
    got = fitted_size(width, height, long_side)
    assert max(got) == long_side and min(got) == short
    assert (got[0] >= got[1]) == (width >= height)


@settings(max_examples=20, deadline=None)
@given(st.integers(20, 90), st.integers(20, 90), st.integers(2, 7).map(lambda n: 16 * n))
def test_pixels_are_lanczos_then_a_centre_crop(width: int, height: int, long_side: int) -> None:
    assume(int((long_side / max(width, height)) * min(width, height)) >= 16)
    picture = _picture(width, height)
    w, h = fitted_size(width, height, long_side)
    whole = np.asarray(picture.resize((w, h), Image.Resampling.LANCZOS))
    top, left = (h % 16) // 2, (w % 16) // 2
    expected = whole[top : top + h - h % 16, left : left + w - w % 16]
    assert np.array_equal(np.asarray(fit_content_image(picture, long_side)), expected)


def test_a_16_pixel_square_is_left_alone() -> None:
    picture = _picture(16, 16)
    assert np.array_equal(np.asarray(fit_content_image(picture, 512)), np.asarray(picture))


def test_the_result_is_rgb() -> None:
    assert fit_content_image(_picture(40, 40).convert("L"), 32).mode == "RGB"
    assert fit_content_image(_picture(40, 40).convert("RGBA"), 32).mode == "RGB"


def test_a_sliver_is_refused() -> None:
    with pytest.raises(ValueError, match="less than one token"):
        fit_content_image(_picture(400, 4), 128)
