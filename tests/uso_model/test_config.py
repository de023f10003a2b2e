"""Configs refuse sizes that cannot make a network."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest
from comfyui_uso.uso_model.config import FLUX_AE, FLUX_DEV, FLUX_SCHNELL


def test_published_sizes() -> None:
    assert FLUX_DEV.mlp_size == 12288
    assert FLUX_AE.downscale == 8
    assert replace(FLUX_DEV, guidance_embed=False) == FLUX_SCHNELL


def test_axes_must_fill_a_head() -> None:
    with pytest.raises(ValueError, match="adds up to 64"):
        replace(FLUX_DEV, axes_dim=(16, 24, 24))


def test_hidden_size_must_be_whole_heads() -> None:
    with pytest.raises(ValueError, match="multiple"):
        replace(FLUX_DEV, hidden_size=3073)


def test_configs_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        FLUX_DEV.depth = 1  # type: ignore[misc]
