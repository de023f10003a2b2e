"""Trainings of the networks that are not part of USO: their randomness is their own."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from comfyui_uso.mini.judges import training
from comfyui_uso.mini.judges.networks import FILES
from comfyui_uso.mini.model import weight_files
from comfyui_uso.mini.stages import load_stage, train_stage
from comfyui_uso.mini.world.dataset import write_data


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_data(folder, 8, 8, 1)
    return folder


SHORT = {"steps": 1, "batch_size": 4, "warmup": 0, "loggers": []}


def weights_of(stage: str, data: Path, root: Path) -> str:
    """Train a stage for one step and return the hash of what it has written."""
    (root / "weights").mkdir(parents=True)
    if stage == "judges":
        loops = {f"{judge}.{name}": value for judge in FILES for name, value in {**SHORT, "batch_size": 8}.items()}
        runs = {f"{judge}.run_dir": root / judge for judge in FILES}
        sizes = {"pictures": 16, "individuals": 16}
        train_stage(stage, load_stage(stage, {"out": root / "weights", **loops, **runs, **sizes}))
        written = [root / "weights" / name for name in FILES.values()]
    else:
        loop = {f"loop.{name}": value for name, value in SHORT.items()}
        places = {"data": [data], "out": root / "weights", "loop.run_dir": root / "run"}
        train_stage(stage, load_stage(stage, {**places, **loop}))
        written = [path for path in weight_files(root / "weights").values() if path.is_file()]
    assert written
    return hashlib.sha256(b"".join(path.read_bytes() for path in written)).hexdigest()


@pytest.mark.parametrize("stage", ["encoders", "descriptor", "judges"])
def test_a_training_neither_reads_nor_changes_the_global_generator(
    stage: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "accuracy", lambda style, identity, rng: {})  # takes long and trains nothing
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    first = weights_of(stage, data, tmp_path / "first")
    assert torch.equal(torch.rand(2), expected)
    assert weights_of(stage, data, tmp_path / "again") == first
