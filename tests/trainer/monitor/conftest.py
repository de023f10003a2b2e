"""A sample of the tiny networks, and its references as files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from comfyui_uso.trainer.data.batch import Sample
from PIL import Image


@pytest.fixture
def sample() -> Sample:
    """Return an encoded row without references."""
    generator = torch.Generator().manual_seed(1)
    return Sample("a", *(torch.randn(*shape, generator=generator) for shape in ((16, 4, 4), (3, 8), (8,))))


@pytest.fixture
def colours(tmp_path: Path) -> dict[str, Path]:
    """Write pictures of one colour and return their files by name."""
    found = {}
    for name, colour in {"red": (250, 0, 0), "blue": (0, 0, 250), "green": (0, 250, 0)}.items():
        found[name] = tmp_path / f"{name}.png"
        Image.new("RGB", (32, 40), colour).save(found[name])
    return found
