"""The encoders that a recipe names."""

from __future__ import annotations

from dataclasses import replace

import torch

from ...uso_model.import_path import is_import_path
from ..family import family_of
from ..recipe import TrainConfig
from .interface import Encoders
from .judges import named_judges, open_judge

__all__ = ["open_encoders"]


def open_encoders(config: TrainConfig, device: torch.device | str = "cpu") -> Encoders:
    """Return the frozen encoders of a recipe's family, and the judges that the recipe names beside the family's own.

    Raises:
        UserError: a file or folder is missing or of another kind, or no tokenizer was found.
    """
    encoders = family_of(config).open_encoders(config.models, torch.device(device))
    named = {name: path for name, path in named_judges(config).items() if path is not None or is_import_path(name)}
    opened = {name: open_judge(name, path, device) for name, path in named.items()}

    def release() -> None:
        encoders.release()
        for one in opened.values():
            one.model.release()

    judges = {**encoders.judges, **{name: one.judge for name, one in opened.items()}}
    return replace(encoders, judges=judges, release=release)
