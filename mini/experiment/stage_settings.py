"""From a plan to runs of the trainer: the settings of every stage, and the folder that they name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...trainer.recipe import TrainConfig
from ..stage_names import NETWORK_STAGES, ROW_STAGES, StageName
from ..stages import load_stage
from .folders import WorkFolders, decides, hash_of
from .plan import ExperimentPlan, ExperimentRow

__all__ = ["row_stages", "shared_settings"]

MANIFESTS = {"base": ["captions"], "copy": ["manifest", "identity"]}
"""What stages read where a plan names nothing else; all others read `manifest`."""


def shared_settings(plan: ExperimentPlan, folders: WorkFolders, stage: StageName) -> Any:
    """Return the settings of a stage that all rows share: an encoder's, the judges' or the base's."""
    chosen = plan.settings.get(stage, {})
    if stage == "judges":
        out = folders.judges
        return load_stage(
            stage, {**chosen, "out": out, "style.run_dir": out / "style", "identity.run_dir": out / "identity"}
        )
    if stage in NETWORK_STAGES:
        run = folders.weights / "runs" / stage
        return load_stage(stage, {**chosen, "data": folders.data, "out": folders.weights, "loop.run_dir": run})
    return load_stage(
        stage, {**chosen, **_places(folders, stage, hash_of(folders.weights.name, decides(stage, chosen)))}
    )


def row_stages(
    plan: ExperimentPlan, folders: WorkFolders, row: ExperimentRow, seed: int, base: Path
) -> dict[str, TrainConfig]:
    """Return the settings of a row's stages in their order.

    Args:
        plan: sizes.
        folders: of the plan.
        row: what differs.
        seed: of all its stages.
        base: folder that stage `base` has written, in the folder that carries its hash.
    """
    found: dict[str, TrainConfig] = {}
    before: Path | None = None
    previous: str | None = None
    hashed = base.parent.name
    for stage in ROW_STAGES:
        if stage in row.skip:
            continue
        chosen = {**plan.settings.get(stage, {}), **row.settings.get(stage, {}), "loop.seed": seed}
        files: dict[str, Any] = {"models.transformer": base}
        if stage != "style":
            files |= _starts(before, previous, chosen.get("conditions.style_path") == "vae")
        manifests = plan.manifests.get(stage, [])
        hashed = hash_of(hashed, decides(stage, chosen), *manifests)
        found[stage] = load_stage(stage, {**chosen, **files, **_places(folders, stage, hashed, manifests)})
        before, previous = found[stage].folder, stage
    return found


def _places(folders: WorkFolders, stage: str, hashed: str, manifests: Sequence[str] = ()) -> dict[str, Any]:
    """Return the settings that name the folders of one of the trainer's stages."""
    own = folders.run(stage, hashed)
    names = manifests or MANIFESTS.get(stage, ["manifest"])
    return {
        "loop.run_dir": own / "run",
        "out": own / "out",
        "data.manifests": [folder / f"{name}.jsonl" for folder in folders.data for name in names],
        "data.cache": folders.cache,
        "models.weights": folders.weights,
    }


def _starts(before: Path | None, previous: str | None, vae: bool) -> dict[str, Any]:
    """Return the settings that start from the newest files in the folder of the stage before, or from nothing."""
    first = previous in (None, "style")
    return {
        "models.projector": None if vae else before,
        "models.new_projector": before is None and not vae,
        "models.lora": None if first else before,
        "lora.start": "new" if first else "continue",
    }
