"""Packing is a permutation with a known place for every value."""

from __future__ import annotations

import pytest
import torch
from comfyui_uso.uso_model.packing import pack, token_grid, unpack
from hypothesis import given
from hypothesis import strategies as st

small = st.integers(1, 5)


@given(st.integers(1, 2), small, small, small)
def test_unpack_inverts_pack(b: int, c: int, rows: int, columns: int) -> None:
    latent = torch.arange(b * c * rows * columns * 4, dtype=torch.float32).reshape(b, c, 2 * rows, 2 * columns)
    tokens = pack(latent)
    assert tokens.shape == (b, rows * columns, 4 * c)
    assert torch.equal(unpack(tokens, rows, columns), latent)
    assert token_grid(latent) == (rows, columns)


def test_a_token_is_channel_major() -> None:
    latent = torch.arange(2 * 4 * 6).reshape(1, 2, 4, 6)
    token = pack(latent)[0, 1 * 3 + 2]  # row 1, column 2
    expected = [latent[0, c, 2 + i, 4 + j].item() for c in (0, 1) for i in (0, 1) for j in (0, 1)]
    assert token.tolist() == expected


def test_odd_latents_are_refused() -> None:
    with pytest.raises(ValueError, match="3x4"):
        pack(torch.zeros(1, 16, 3, 4))
