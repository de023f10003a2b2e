"""The encoders that a recipe names."""

from __future__ import annotations

from dataclasses import replace

import torch

from ...uso_model.mini import WEIGHTS
from ..recipe import ModelsConfig
from .fingerprint import fingerprint
from .flux import flux_encoders
from .interface import Encoders
from .loaded import Loaded
from .mini import mini_encoders

__all__ = ["open_encoders"]


def open_encoders(models: ModelsConfig, device: torch.device | str = "cpu") -> Encoders:
    """Return the frozen encoders of a recipe; those of FLUX are read when they are first used.

    Raises:
        ValueError: a file or folder is missing or of another kind, or no tokenizer was found.
    """
    encoders = (
        mini_encoders(models.mini_weights or WEIGHTS) if models.mini else flux_encoders(models, torch.device(device))
    )
    if models.csd is None:
        return encoders
    from ..objective.csd import load_csd  # open_clip takes seconds to import

    path = models.csd
    descriptor = Loaded(lambda: load_csd(path, device))

    def release() -> None:
        encoders.release()
        descriptor.release()

    return replace(
        encoders,
        look=lambda pixels: descriptor.get()(pixels.to(device)),
        names={**encoders.names, "look": fingerprint(path)},
        release=release,
    )
