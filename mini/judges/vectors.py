"""USO-mini's judges as all judges are used: pictures to unit vectors, whose products tell likeness."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from ...uso_model.checkpoints.files import sha256_of
from ...uso_model.images import picture_tensor
from ...uso_model.judging.judge import Card
from ..model import PICTURE_SIZE
from .networks import FILES, JUDGES, IdentityJudge, StyleJudge, load_judges

__all__ = ["MiniJudge", "bundled_identity", "bundled_style"]

_SQUARE = (PICTURE_SIZE, PICTURE_SIZE)
_SHARED: dict[str, Any] = {
    "model": "USO-mini's judges",
    "revision": "bundled",
    "licence": "Apache-2.0",
    "preprocessing": f"squashed to {PICTURE_SIZE} x {PICTURE_SIZE} (Pillow, bicubic)",
}
CARDS = {
    "style": Card(
        name="mini_style", sees=("style",), range=(0.0, 1.0), address=f"mini/judges/{FILES['style']}", **_SHARED
    ),
    "identity": Card(
        name="mini_identity",
        sees=("subject",),
        range=(-1.0, 1.0),
        address=f"mini/judges/{FILES['identity']}",
        **_SHARED,
    ),
}


class MiniJudge(nn.Module):
    """One of the two networks; they know renders of 128 x 128 pixels, and say little about other pictures."""

    def __init__(self, card: Card, network: StyleJudge | IdentityJudge):
        super().__init__()
        self.card, self.network = card, network

    def prepare(self, picture: Image.Image) -> Tensor:
        """Return a picture as the network takes it, `3 128 128` in -1..1."""
        rgb = picture.convert("RGB")
        return picture_tensor(rgb if rgb.size == _SQUARE else rgb.resize(_SQUARE, Image.Resampling.BICUBIC))[0]

    def embed(self, prepared: Tensor) -> Tensor:
        """Return unit vectors `b D` of prepared pictures `b 3 128 128`.

        Those of the style judge are square roots of probabilities, so that a product is the Bhattacharyya coefficient
        of what two pictures are taken for: 1 for the same style, 0 for none in common.
        """
        found = self.network(prepared)
        return found[0] if isinstance(found, tuple) else found.softmax(dim=1).sqrt()

    def embed_pixels(self, pixels: Tensor) -> Tensor:
        """Return unit vectors `b D` of pictures `b 3 h w` in -1..1, with a gradient down to the pixels."""
        if pixels.shape[-2:] != _SQUARE:
            pixels = F.interpolate(pixels, _SQUARE, mode="bicubic", antialias=True, align_corners=False).clamp(-1, 1)
        return self.embed(pixels)


def bundled_style(device: str | torch.device = "cpu") -> MiniJudge:
    """Return the style judge.

    Raises:
        FileNotFoundError: its file is not there.
    """
    return _judge("style", device)


def bundled_identity(device: str | torch.device = "cpu") -> MiniJudge:
    """Return the judge that tells individuals apart.

    Raises:
        FileNotFoundError: its file is not there.
    """
    return _judge("identity", device)


def _judge(kind: str, device: str | torch.device) -> MiniJudge:
    networks = dict(zip(FILES, load_judges(), strict=True))
    card = replace(CARDS[kind], sha256=sha256_of(Path(JUDGES, FILES[kind])))
    return MiniJudge(card, networks[kind]).to(device).eval().requires_grad_(False)
