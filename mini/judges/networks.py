"""The bundled judges: one names the style of a picture, the other tells individuals apart.

Both are convolutional networks with group normalisation. They are trained on renders with a seed of their own. No other
network of USO-mini shares their architecture, their pictures or their outputs. They know every style and class,
including those held out from the stages with references, and the parameter ranges held out from all other networks.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...uso_model.checkpoints.files import read_safetensors, write_safetensors
from ...uso_model.checkpoints.strict import load_strict
from ..world import ACCENTS, COLOURS, MARKINGS, STYLES, SUBJECTS, Individual

__all__ = [
    "FILES",
    "JUDGES",
    "PHOTO",
    "TRAITS",
    "IdentityJudge",
    "StyleJudge",
    "load_judges",
    "save_judge",
    "traits_of",
]

PHOTO = len(STYLES)
"""Number of the class of photos, which are in no style."""

TRAITS = (len(SUBJECTS), len(COLOURS), len(COLOURS), len(ACCENTS), len(MARKINGS))
"""Number of classes of each trait of an individual: subject, first and second colour, accent, marking."""

JUDGES = Path(__file__).parent
"""Folder of the trained judges."""

FILES = {"style": "style.safetensors", "identity": "identity.safetensors"}
"""File of each judge."""


class _Trunk(nn.Sequential):
    """Pictures `b 3 128 128` to features `b 2C`: strided convolutions, mean and maximum over the rest."""

    def __init__(self, width: int, layers: int = 5):
        parts: list[nn.Module] = []
        before = 3
        for i in range(layers):
            after = min(width * 2**i, 6 * width)
            parts += [nn.Conv2d(before, after, 5 if i == 0 else 3, stride=2, padding=2 if i == 0 else 1, bias=False)]
            parts += [nn.GroupNorm(4, after), nn.ReLU()]
            if 0 < i < layers - 1:
                parts += [nn.Conv2d(after, after, 3, padding=1, bias=False), nn.GroupNorm(4, after), nn.ReLU()]
            before = after
        super().__init__(*parts)
        self.features = 2 * before

    def forward(self, pixels: Tensor) -> Tensor:
        maps = super().forward(pixels)
        return torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1)


class StyleJudge(nn.Module):
    """Names the style of pictures."""

    def __init__(self, width: int = 20):
        super().__init__()
        self.trunk = _Trunk(width)
        self.head = nn.Linear(self.trunk.features, len(STYLES) + 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits `b styles + 1` (the last: a photo) of pictures `b 3 128 128` in -1..1."""
        return self.head(self.trunk(pixels))


class IdentityJudge(nn.Module):
    """Tells individuals apart in any style, pose and background, and names their traits.

    It reads pictures at half the size, where strokes and dots blur and colours and shapes remain.
    """

    def __init__(self, width: int = 24, out: int = 96):
        super().__init__()
        self.trunk = _Trunk(width)
        self.head = nn.Linear(self.trunk.features, out)
        self.traits = nn.Linear(self.trunk.features, sum(TRAITS))

    def forward(self, pixels: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Compare and describe the individuals in pictures `b 3 128 128` in -1..1.

        Returns:
            Unit vectors `b 96`, whose cosine is the similarity of two individuals; logits of each of TRAITS.
        """
        features = self.trunk(F.avg_pool2d(pixels, 2))
        return F.normalize(self.head(features), dim=1), self.traits(features).split(TRAITS, dim=1)


def load_judges(folder: Path = JUDGES) -> tuple[StyleJudge, IdentityJudge]:
    """Read both judges.

    Raises:
        FileNotFoundError: they are not there.
    """
    judges = StyleJudge(), IdentityJudge()
    for judge, name in zip(judges, FILES.values(), strict=True):
        path = folder / name
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: restore it, or train it with `uso mini train judges`")
        tensors = read_safetensors(path)
        load_strict(judge, {n: t.float() if t.is_floating_point() else t for n, t in tensors.items()}, path.name)
        judge.eval()
    return judges


def save_judge(judge: StyleJudge | IdentityJudge, folder: Path = JUDGES) -> Path:
    """Write a judge in float16."""
    path = folder / FILES["style" if isinstance(judge, StyleJudge) else "identity"]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_safetensors(path, {n: t.half() if t.is_floating_point() else t for n, t in judge.state_dict().items()})
    return path


def traits_of(who: Individual) -> list[int]:
    """Return the number of each of an individual's TRAITS."""
    return [
        SUBJECTS.index(who.subject),
        COLOURS.index(who.first),
        COLOURS.index(who.second),
        ACCENTS.index(who.accent),
        MARKINGS.index(who.marking),
    ]
