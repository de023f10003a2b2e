"""Bucket sizes."""

from __future__ import annotations

import pytest
from comfyui_uso.trainer.data.buckets import buckets, nearest_bucket
from comfyui_uso.trainer.data.pictures import fit_target
from PIL import Image


@pytest.mark.parametrize("size", [256, 512, 768, 1024])
def test_buckets_are_whole_tokens_near_the_square_in_area(size):
    found = buckets(size)
    assert (size, size) in found and len(found) == len(set(found)) > 10
    for width, height in found:
        assert width % 16 == height % 16 == 0
        assert 1 / 3 <= width / height <= 3
        assert 0.9 * size * size < width * height <= size * size
        assert (height, width) in found


@pytest.mark.parametrize(
    ("picture", "bucket"), [((3000, 3000), (1024, 1024)), ((1920, 1080), (1360, 768)), ((100, 1000), (576, 1728))]
)
def test_the_nearest_bucket_by_aspect_is_taken(picture, bucket):
    assert nearest_bucket(*picture, 1024) == bucket


@pytest.mark.parametrize("size", [256, 512, 1024])
def test_little_is_cropped_within_one_to_three(size):
    for width in range(350, 3000, 7):
        bucket = nearest_bucket(width, 1000, size)
        scale = max(bucket[0] / width, bucket[1] / 1000)
        kept = bucket[0] * bucket[1] / (scale * scale * width * 1000)
        assert kept > 1 - 2 * 16 / size


def test_the_smallest_size_has_the_square_only():
    assert buckets(16) == ((16, 16),)
    assert fit_target(Image.new("RGB", (5, 90)), *nearest_bucket(5, 90, 16)).size == (16, 16)
