"""A data set over the eight rows of the tiny trainer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from comfyui_uso.trainer.data.cache import Cache
from comfyui_uso.trainer.data.dataset import TripletDataset
from comfyui_uso.trainer.data.manifest import read_manifest
from comfyui_uso.trainer.engine.randomness import StepRandom
from comfyui_uso.trainer.recipe import DataConfig


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
        return TripletDataset(
            read_manifest(manifest) if rows is None else rows,
            encoders,
            Cache(tmp_path / "cache"),
            DataConfig(**values),
            batch_size,
            run,
            seed,
            style=style,
            content=content,
            descriptor=descriptor,
        )

    return open_rows


@pytest.fixture
def whole() -> Callable[..., StepRandom]:
    """Return a function that gives the randomness of a whole step of four rows."""
    return lambda step=0, seed=0: StepRandom(seed, step, 0, 4)
