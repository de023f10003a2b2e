"""A data set over the eight rows of the tiny trainer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from comfyui_uso.trainer.data.cache import Cache
from comfyui_uso.trainer.data.dataset import TripletDataset
from comfyui_uso.trainer.data.manifest import read_manifest
from comfyui_uso.trainer.engine.randomness import StepRandom
from comfyui_uso.trainer.recipe import TrainConfig


@pytest.fixture
def opened(manifest: Path, tmp_path: Path, tiny_encoders) -> Callable[..., TripletDataset]:
    """Return a function that opens the rows of `manifest`, with settings and arguments that differ."""

    def open_rows(
        rows=None,
        encoders=tiny_encoders,
        batch_size=4,
        run=1,
        seed=0,
        style=True,
        content=True,
        descriptor=False,
        **settings,
    ):
        values = {"manifests": [manifest], "cache": tmp_path / "cache", "size": 32, "content_size": 32, **settings}
        config = TrainConfig(
            stage="triplet" if content else "style" if style else "base",
            data=values,
            models={},
            memory={"base": "fp32"},
            reward={"start": 0} if descriptor is True else descriptor or None,
            loop={
                "run_dir": tmp_path / "run",
                "steps": 1,
                "batch_size": batch_size,
                "learning_rate": 1e-3,
                "seed": seed,
            },
        )
        # Cut as no recipe may: the order must hold for any micro-batch.
        config = config.model_copy(update={"loop": config.loop.model_copy(update={"micro_batch": run})})
        assert style or not content, "no stage has content references alone"
        found = read_manifest(manifest) if rows is None else rows
        return TripletDataset(found, encoders, Cache(tmp_path / "cache"), config)

    return open_rows


@pytest.fixture
def whole() -> Callable[..., StepRandom]:
    """Return a function that gives the randomness of a whole step of four rows."""
    return lambda step=0, seed=0: StepRandom(seed, step, 0, 4)
