"""Names of USO-mini's stages, apart from what trains them, so that a command line can list them at once."""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["NETWORK_STAGES", "ROW_STAGES", "STAGES", "NetworkStage", "RowStage", "StageName"]

NetworkStage = Literal["autoencoder", "encoders", "descriptor", "vision", "decoder"]
NETWORK_STAGES: tuple[NetworkStage, ...] = get_args(NetworkStage)
"""Stages that train the encoders. They share one folder of weights, and each reads what those before it have written:
the vision tower learns what the descriptor sees, and the decoder is trained with both."""

RowStage = Literal["style", "copy", "triplet", "reward"]
ROW_STAGES: tuple[RowStage, ...] = get_args(RowStage)
"""Stages of an experiment's row; each starts from what the one before has written."""

StageName = Literal[NetworkStage, "judges", "base", RowStage]
STAGES: tuple[StageName, ...] = get_args(StageName)
"""All stages, in an order in which each finds what it needs."""
