"""Random weights of the real architectures, cheaply, and the pictures that the judges are compared on."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from skimage import data
from torch import nn

EMOJI = Path(__file__).parents[2] / "data/emoji"


def photographs() -> list[Image.Image]:
    """Return four photographs: square, wide, wider, and tall."""
    wide = [Image.fromarray(picture) for picture in (data.chelsea(), data.rocket())]
    tall = Image.fromarray(data.coffee()).transpose(Image.Transpose.ROTATE_90)
    return [Image.fromarray(data.astronaut()), *wide, tall]


def emoji() -> list[Image.Image]:
    """Return three hands' drawings of one subject, one of them cut so that it is not square."""
    drawn = [Image.open(EMOJI / f"art.{hand}.png").convert("RGB") for hand in ("fluent", "noto", "twemoji")]
    return [*drawn[:2], drawn[2].crop((0, 0, drawn[2].width, drawn[2].height * 3 // 4))]


def randomly(network: nn.Module, seed: int = 0) -> nn.Module:
    """Give a network on the meta device random weights: parts of one noise, which costs a tenth of drawing them all."""
    largest = max(tensor.numel() for tensor in network.state_dict().values())
    noise = torch.randn(largest + 10_007, generator=torch.Generator().manual_seed(seed)) * 0.05
    weights = {}
    for number, (name, tensor) in enumerate(network.state_dict().items()):
        part = noise[(number * 97) % 10_007 :][: tensor.numel()].view(tensor.shape)
        is_norm = tensor.ndim == 1 and name.endswith("weight")
        weights[name] = part + 1 if is_norm else part
    network.load_state_dict(weights, assign=True)
    return network.eval().requires_grad_(False)


def unlike(a: torch.Tensor, b: torch.Tensor) -> float:
    """Return one less the least cosine between vectors `b D` and their partners."""
    return 1 - torch.cosine_similarity(a, b, dim=-1).min().item()
