"""Folders of an experiment: under one root, each carries a hash of everything that decides its contents.

Plans that differ share only what they have in common, and a changed setting never continues in an old folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...trainer.reading.values import read_yaml
from ..stage_names import NETWORK_STAGES, STAGES
from ..stages import recipe_of
from .plan import ExperimentPlan

__all__ = ["WorkFolders", "decides", "hash_of", "hash_of_plan"]


class WorkFolders:
    """The folders of a plan."""

    def __init__(self, root: Path, plan: ExperimentPlan):
        """Name the folders; none of them is made.

        Args:
            root: holds the folders of all plans.
            plan: decides the hashes.
        """
        drawn = hash_of(plan.pictures, plan.triplets, plan.improvised)
        trained = hash_of(drawn, *(decides(stage, plan.settings.get(stage, {})) for stage in NETWORK_STAGES))
        judging = hash_of(decides("judges", plan.settings.get("judges", {})))
        self.root = root
        self.data = [root / f"data-{drawn}" / name for name in "ab"]
        self.weights = root / f"weights-{trained}"
        """Encoders. Each is trained with the ones before it, so a change to one needs a new folder for all."""
        self.judges = root / f"judges-{judging}"
        self.cache = root / "cache"
        """Encodings, each named by the bytes of its picture and of its encoder: all plans may share them."""

    def run(self, stage: str, hashed: str) -> Path:
        """Return the folder of a stage's checkpoints and outputs."""
        return self.root / "runs" / f"{stage}-{hashed}"


def decides(stage: str, chosen: Mapping[str, Any]) -> list[Any]:
    """Return a stage's recipe and what differs from it."""
    return [read_yaml(recipe_of(stage)), dict(chosen)]


def hash_of(*values: Any) -> str:
    """Return ten hexadecimal digits that stand for plain values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:10]


def hash_of_plan(plan: ExperimentPlan) -> str:
    """Return the hash of what a plan and the recipes decide about every row; which rows and seeds are run is not."""
    return hash_of(plan.model_dump(exclude={"rows", "seeds"}), [read_yaml(recipe_of(stage)) for stage in STAGES])
