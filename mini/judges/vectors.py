"""USO-mini's judges as all judges are used: pictures to unit vectors, whose products tell likeness."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from ...uso_model.checkpoints.files import sha256_of
from ...uso_model.images import picture_tensor
from ...uso_model.judging.judge import Card, Sees
from ..model import PICTURE_SIZE, WEIGHTS, load_descriptor, weight_files
from .networks import FILES, JUDGES, TRAITS, load_judges
from .protocol import Judges

__all__ = [
    "MiniJudge",
    "as_judges",
    "bundled_descriptor",
    "bundled_identity",
    "bundled_style",
    "bundled_traits",
    "judge_files",
    "read_judges",
]

_SQUARE = (PICTURE_SIZE, PICTURE_SIZE)


def _probabilities(logits: Tensor) -> Tensor:
    """Return square roots of probabilities, so that a product of two is a Bhattacharyya coefficient.

    It is 1 where both pictures are taken for the same, and 0 where nothing is common. The largest stays the largest.
    """
    return logits.softmax(dim=1).sqrt()


@dataclass(frozen=True)
class _Kind:
    """A judge's name, what it is, and how its vectors are taken of the networks."""

    name: str
    sees: tuple[Sees, ...]
    what: str
    least: float
    vectors: Callable[[Judges, Tensor], Tensor]


def _style(judges: Judges, pixels: Tensor) -> Tensor:
    return _probabilities(judges.style(pixels))


def _identity(judges: Judges, pixels: Tensor) -> Tensor:
    return judges.identity(pixels)[0]


def _traits(judges: Judges, pixels: Tensor) -> Tensor:
    parts = judges.identity(pixels)[1]
    return torch.cat([_probabilities(part) for part in parts], dim=1) / len(TRAITS) ** 0.5


def _descriptor(judges: Judges, pixels: Tensor) -> Tensor:
    return judges.descriptor(pixels)


_KINDS = {
    kind.name: kind
    for kind in (
        _Kind("mini_style", ("style",), "style judge", 0.0, _style),
        _Kind("mini_identity", ("subject",), "identity judge", -1.0, _identity),
        _Kind("mini_traits", ("subject",), "identity judge: class, colours, accent and marking", 0.0, _traits),
        _Kind("mini_descriptor", ("style",), "style descriptor, which the style reward trains on", -1.0, _descriptor),
    )
}


class MiniJudge(nn.Module):
    """A network of USO-mini as a judge; all know renders of 128 x 128 pixels, and say little about other pictures."""

    def __init__(self, card: Card, describe: Callable[[Tensor], Tensor], networks: Judges):
        super().__init__()
        self.card, self.describe = card, describe
        # Named so that the judge moves and freezes with what it is made of.
        self.networks = nn.ModuleList(network for network in networks if isinstance(network, nn.Module))

    def prepare(self, picture: Image.Image) -> Tensor:
        """Return a picture as the network takes it, `3 128 128` in -1..1."""
        rgb = picture.convert("RGB")
        return picture_tensor(rgb if rgb.size == _SQUARE else rgb.resize(_SQUARE, Image.Resampling.BICUBIC))[0]

    def embed(self, prepared: Tensor) -> Tensor:
        """Return unit vectors `b D` of prepared pictures `b 3 128 128`."""
        return self.describe(prepared)

    def embed_pixels(self, pixels: Tensor) -> Tensor:
        """Return unit vectors `b D` of pictures `b 3 h w` in -1..1, with a gradient down to the pixels."""
        if pixels.shape[-2:] != _SQUARE:
            pixels = F.interpolate(pixels, _SQUARE, mode="bicubic", antialias=True, align_corners=False).clamp(-1, 1)
        return self.embed(pixels)


def as_judges(networks: Judges, files: Mapping[str, Path] | None = None) -> list[MiniJudge]:
    """Return the judges `mini_style`, `mini_identity`, `mini_traits` and `mini_descriptor`, frozen.

    Args:
        networks: or functions in their place.
        files: of each judge, see `judge_files`; None: they come from no file.
    """
    return [_judge(kind, networks, (files or {}).get(kind.name)) for kind in _KINDS.values()]


def read_judges(judges: Path = JUDGES, weights: Path = WEIGHTS) -> Judges:
    """Read the networks: the judges of a folder and the descriptor of another one.

    Raises:
        FileNotFoundError: one is not there.
    """
    return Judges(*load_judges(judges), load_descriptor(weights))


def judge_files(judges: Path = JUDGES, weights: Path = WEIGHTS) -> dict[str, Path]:
    """Return the file of each judge by its name."""
    identity = judges / FILES["identity"]
    return {
        "mini_style": judges / FILES["style"],
        "mini_identity": identity,
        "mini_traits": identity,
        "mini_descriptor": weight_files(weights)["descriptor"],
    }


def bundled_style(device: str | torch.device = "cpu") -> MiniJudge:
    """Return the style judge.

    Raises:
        FileNotFoundError: a file is not there.
    """
    return _bundled("mini_style", device)


def bundled_identity(device: str | torch.device = "cpu") -> MiniJudge:
    """Return the judge that tells individuals apart; see `bundled_style`."""
    return _bundled("mini_identity", device)


def bundled_traits(device: str | torch.device = "cpu") -> MiniJudge:
    """Return the judge that names an individual's class, colours, accent and marking; see `bundled_style`."""
    return _bundled("mini_traits", device)


def bundled_descriptor(device: str | torch.device = "cpu") -> MiniJudge:
    """Return the style descriptor, which the style reward trains on; see `bundled_style`."""
    return _bundled("mini_descriptor", device)


def _bundled(name: str, device: str | torch.device) -> MiniJudge:
    return _judge(_KINDS[name], read_judges(), judge_files()[name]).to(device)


def _judge(kind: _Kind, networks: Judges, file: Path | None) -> MiniJudge:
    card = Card(
        name=kind.name,
        sees=kind.sees,
        model=f"USO-mini's {kind.what}",
        revision="bundled",
        licence="Apache-2.0",
        preprocessing=f"squashed to {PICTURE_SIZE} x {PICTURE_SIZE} (Pillow, bicubic)",
        range=(kind.least, 1.0),
        address="bundled" if file is None else f"{file.parent.name}/{file.name}",
        sha256=None if file is None else sha256_of(file),
    )
    return MiniJudge(card, lambda pixels: kind.vectors(networks, pixels), networks).eval().requires_grad_(False)
