"""From a plan to runs of the trainer: the settings of every stage, and a folder for each that its settings name.

A stage's folder carries a hash of all that decides its outcome: its recipe, what the plan and the row change in it,
and the hash of what it stands on. So rows share what they have in common, and a changed setting never goes on in an old
run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from ...trainer.config import Settings
from ...trainer.export import LORA, PROJECTOR, TRANSFORMER
from ...trainer.recipe import TrainConfig
from ..stages import load_stage, recipe_of
from ..training.runs import RUNS
from .plan import STAGES, Plan, Row

__all__ = ["Workplace", "row_stages", "shared_settings"]

Config = TypeVar("Config", bound=Settings)


class Workplace:
    """The folders of an experiment, all under one."""

    def __init__(self, root: Path):
        self.root = root
        self.data = [root / "a", root / "b"]
        self.weights = root / "weights"
        self.judges = root / "judges"
        self.runs = root / "runs"

    def place(self, stage: str, digest: str, manifests: Sequence[str] = ()) -> dict[str, Any]:
        """Return the settings that name the folders of a stage: its data, encoders, checkpoints and outputs."""
        own = self.runs / f"{stage}-{digest}"
        where: dict[str, Any] = {"loop.run_dir": own / "run"}
        if stage == "judges":
            return {"out": self.judges, "style.run_dir": own / "style", "identity.run_dir": own / "identity"}
        if stage in RUNS:
            return {**where, "data": self.data, "out": self.weights}
        names = manifests or {"base": ["captions"], "copy": ["manifest", "identity"]}.get(stage, ["manifest"])
        return {
            **where,
            "data.manifests": [folder / f"{name}.jsonl" for folder in self.data for name in names],
            "data.cache": self.root / "cache",
            "models.weights": self.weights,
            "out": own / "out",
        }


def shared_settings(plan: Plan, place: Workplace, stage: str, kind: type[Config]) -> Config:
    """Return the settings of a stage that all rows share.

    The networks of RUNS are trained one on another in one folder, so that a change to one begins all of them anew, and
    the base with them. The judges stand on nothing.
    """
    chosen = plan.settings.get(stage, {})
    data = plan.pictures, plan.triplets, plan.improvised
    networks = _hash(data, *(_decides(name, plan.settings.get(name, {})) for name in RUNS))
    if stage in RUNS:
        digest = networks
    else:
        digest = _hash(_decides(stage, chosen), *([] if stage == "judges" else [networks]))
    return load_stage(stage, {**chosen, **place.place(stage, digest)})


def row_stages(plan: Plan, place: Workplace, row: Row, seed: int, base: Path) -> dict[str, TrainConfig]:
    """Return the settings of a row's stages in their order.

    Args:
        plan: sizes.
        place: folders.
        row: what differs.
        seed: of all its stages.
        base: folder that stage `base` has written, in the folder that carries its hash.
    """
    found: dict[str, TrainConfig] = {}
    before: Path | None = None
    previous: str | None = None
    digest = base.parent.name
    for stage in STAGES:
        if stage in row.skip:
            continue
        chosen = {**plan.settings.get(stage, {}), **row.settings.get(stage, {}), "loop.seed": seed}
        files: dict[str, Any] = {"models.transformer": base / TRANSFORMER}
        if stage != "style":
            files |= _starts(before, previous, chosen.get("conditions.style_path") == "vae")
        manifests = plan.manifests.get(stage, [])
        digest = _hash(digest, _decides(stage, chosen), *manifests)
        found[stage] = load_stage(stage, {**chosen, **files, **place.place(stage, digest, manifests)})
        before, previous = found[stage].out, stage
    return found


def _starts(before: Path | None, previous: str | None, vae: bool) -> dict[str, Any]:
    """Return what a triplet stage starts from: what the stage before has written, or nothing."""
    first = previous in (None, "style")
    return {
        "models.projector": None if vae or before is None else before / PROJECTOR,
        "models.new_projector": before is None and not vae,
        "models.lora": None if first or before is None else before / LORA,
        "lora.start": "new" if first else "continue",
    }


def _decides(stage: str, chosen: Mapping[str, Any]) -> list[Any]:
    """Return a stage's recipe and what differs from it."""
    return [yaml.safe_load(recipe_of(stage).read_text(encoding="utf-8")), chosen]


def _hash(*decides: Any) -> str:
    return hashlib.sha256(json.dumps(decides, sort_keys=True, default=str).encode()).hexdigest()[:10]
