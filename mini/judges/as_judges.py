"""USO-mini's judges as judges of any bench: pictures to unit vectors, and a card for each.

Names and traits are read off vectors, too: the largest of an output is the largest of its unit vector.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from ...uso_model.judging.encoder_judge import EncoderJudge
from ...uso_model.judging.judge import Card, Sees
from ...uso_model.judging.preprocessing import Preprocessing
from ...uso_model.writing import sha256_of
from ..model import PICTURE_SIZE, WEIGHTS, load_descriptor, weight_files
from .networks import FILES, JUDGES, load_judges
from .protocol import Judges

__all__ = [
    "DESCRIPTOR",
    "IDENTITY",
    "STYLE",
    "TRAITS",
    "as_judges",
    "hashes_of",
    "load_all",
    "mini_descriptor",
    "mini_identity",
    "mini_style",
    "mini_traits",
]

STYLE, IDENTITY, TRAITS, DESCRIPTOR = "mini_style", "mini_identity", "mini_traits", "mini_descriptor"
"""Names of the four judges; the identity judge has two outputs, and each is a judge here."""

_HALF = (0.5, 0.5, 0.5)
PREPROCESSING = Preprocessing(PICTURE_SIZE, PICTURE_SIZE, _HALF, _HALF)
_IN_WORDS = f"short side {PICTURE_SIZE} (Pillow, bicubic), middle {PICTURE_SIZE} x {PICTURE_SIZE}, to -1..1"


class NetworkJudge(EncoderJudge):
    """A network of USO-mini, or any function of pictures at its size, as a judge."""

    def __init__(self, card: Card, network: Callable[[Tensor], Tensor]):
        super().__init__(card, PREPROCESSING)
        self.network = network

    def features(self, prepared: Tensor) -> Tensor:
        """Return the network's output `b D` for prepared pictures `b 3 128 128`."""
        return self.network(prepared)


def as_judges(judges: Judges, hashes: Mapping[str, str] | None = None) -> dict[str, NetworkJudge]:
    """Return the four judges by name.

    Args:
        judges: the networks, or functions in their place.
        hashes: SHA-256 of each one's file, by name; None: they have no files.
    """
    known = hashes or {}

    def judge(name: str, sees: tuple[Sees, ...], network: Callable[[Tensor], Tensor], what: str) -> NetworkJudge:
        card = Card(
            name=name,
            sees=sees,
            model=f"USO-mini's {what}",
            revision="bundled with this pack",
            licence="Apache-2.0",
            preprocessing=_IN_WORDS,
            range=(-1.0, 1.0),
            address="bundled with this pack",
            sha256=known.get(name),
        )
        return NetworkJudge(card, network)

    return {
        STYLE: judge(STYLE, ("style",), judges.style, "style judge, logits"),
        IDENTITY: judge(IDENTITY, ("subject",), lambda x: judges.identity(x)[0], "identity judge"),
        TRAITS: judge(
            TRAITS, ("subject", "text"), lambda x: torch.cat(judges.identity(x)[1], 1), "identity judge, logits"
        ),
        DESCRIPTOR: judge(DESCRIPTOR, ("style",), judges.descriptor, "style descriptor"),
    }


def load_all(judges: Path = JUDGES, weights: Path = WEIGHTS) -> Judges:
    """Read the judges of a folder and the descriptor of another one, frozen.

    Raises:
        FileNotFoundError: one is not there.
    """
    found = Judges(*load_judges(judges), load_descriptor(weights))
    for network in found:
        network.requires_grad_(False)
    return found


def hashes_of(judges: Path = JUDGES, weights: Path = WEIGHTS) -> dict[str, str]:
    """Return the SHA-256 of each judge's file, by its name."""
    style, identity = (sha256_of(judges / FILES[name]) for name in ("style", "identity"))
    descriptor = sha256_of(weight_files(weights)["descriptor"])
    return {STYLE: style, IDENTITY: identity, TRAITS: identity, DESCRIPTOR: descriptor}


def mini_style() -> NetworkJudge:
    """Return the bundled style judge."""
    return _bundled(STYLE)


def mini_identity() -> NetworkJudge:
    """Return the bundled identity judge."""
    return _bundled(IDENTITY)


def mini_traits() -> NetworkJudge:
    """Return the bundled identity judge as one that names class, colours, accent and marking."""
    return _bundled(TRAITS)


def mini_descriptor() -> NetworkJudge:
    """Return the bundled style descriptor, which the reward trains on."""
    return _bundled(DESCRIPTOR)


def _bundled(name: str) -> NetworkJudge:
    return as_judges(load_all(), hashes_of())[name]
