"""Names of USO-mini's stages, in a module that imports no training, because the command line lists them."""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["NETWORK_STAGES", "ROW_STAGES", "STAGES", "NetworkStage", "RowStage", "StageName"]

NetworkStage = Literal["autoencoder", "encoders", "descriptor", "vision", "decoder"]
NETWORK_STAGES: tuple[NetworkStage, ...] = get_args(NetworkStage)
"""Stages that train the encoders. They share one folder of weights, and each may read the files of those before it:
the vision tower is trained with the descriptor, and the decoder with both."""

RowStage = Literal["style", "copy", "triplet", "reward"]
ROW_STAGES: tuple[RowStage, ...] = get_args(RowStage)
"""Stages of an experiment's row; each starts from what the one before has written."""

StageName = Literal[NetworkStage, "judges", "base", RowStage]
STAGES: tuple[StageName, ...] = get_args(StageName)
"""All stages, in an order in which each finds what it needs."""
