"""The two judges as all judges are used: pictures of any size to unit vectors, whose products tell likeness."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torch import Tensor

from ...uso_model.judging.encoder_judge import EncoderJudge
from ...uso_model.judging.judge import Card, Sees
from ...uso_model.judging.preprocessing import Preprocessing
from ...uso_model.writing import sha256_of
from ..model import PICTURE_SIZE
from .networks import FILES, JUDGES, IdentityJudge, StyleJudge, load_judges

__all__ = ["MiniJudge", "bundled_identity", "bundled_style"]

_HALF = (0.5, 0.5, 0.5)


def _card(kind: str, sees: Sees, range_: tuple[float, float]) -> Card:
    return Card(
        name=f"mini_{kind}",
        sees=(sees,),
        model=f"USO-mini's {kind} judge",
        revision="bundled",
        licence="Apache-2.0",
        preprocessing=f"short side {PICTURE_SIZE} (Pillow, bicubic), middle {PICTURE_SIZE} x {PICTURE_SIZE}, to -1..1",
        range=range_,
        address=f"mini/judges/{FILES[kind]}",
        file=FILES[kind],
    )


CARDS = {"style": _card("style", "style", (0.0, 1.0)), "identity": _card("identity", "subject", (-1.0, 1.0))}


class MiniJudge(EncoderJudge):
    """One of the two networks; they know renders of USO-mini's world, and say little about other pictures."""

    def __init__(self, card: Card, network: StyleJudge | IdentityJudge):
        super().__init__(card, Preprocessing(PICTURE_SIZE, PICTURE_SIZE, _HALF, _HALF))
        self.network = network

    def features(self, prepared: Tensor) -> Tensor:
        """Return vectors `b D` of prepared pictures `b 3 128 128`.

        Those of the style judge are square roots of probabilities, so that a product is the Bhattacharyya coefficient
        of what two pictures are taken for: 1 for the same style, 0 for none in common.
        """
        found = self.network(prepared)
        return found[0] if isinstance(found, tuple) else found.softmax(dim=1).sqrt()


def bundled_style() -> MiniJudge:
    """Return the style judge.

    Raises:
        FileNotFoundError: its file is not there.
    """
    return _bundled("style")


def bundled_identity() -> MiniJudge:
    """Return the judge that tells individuals apart.

    Raises:
        FileNotFoundError: its file is not there.
    """
    return _bundled("identity")


def _bundled(kind: str) -> MiniJudge:
    network = dict(zip(FILES, load_judges(), strict=True))[kind]
    card = replace(CARDS[kind], sha256=sha256_of(Path(JUDGES, FILES[kind])))
    return MiniJudge(card, network).eval().requires_grad_(False)
