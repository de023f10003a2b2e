"""The encoders that a recipe names."""

from __future__ import annotations

from dataclasses import replace

import torch

from ..family import family_of
from ..recipe import TrainConfig
from .fingerprint import fingerprint
from .interface import Encoders
from .lazy import Lazy

__all__ = ["open_encoders"]


def open_encoders(config: TrainConfig, device: torch.device | str = "cpu") -> Encoders:
    """Return the frozen encoders of a recipe's family, with CSD as the style descriptor where the recipe names it.

    Raises:
        UserError: a file or folder is missing or of another kind, or no tokenizer was found.
    """
    models = config.models
    encoders = family_of(config).open_encoders(models, torch.device(device))
    if models.csd is None:
        return encoders
    from ...uso_model.judging.csd import load_csd  # open_clip takes seconds to import

    path = models.csd
    csd = Lazy(lambda: load_csd(path, device), path.name)

    def release() -> None:
        encoders.release()
        csd.release()

    return replace(
        encoders,
        descriptor=lambda pixels: csd.get()(pixels.to(device)),
        names={**encoders.names, "descriptor": fingerprint(path)},
        release=release,
    )
