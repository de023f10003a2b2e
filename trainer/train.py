"""The stages of USO's training as settings: text-to-image base, style alignment, triplets.

| stage     | sequence               | trained                                                     |
|-----------|------------------------|-------------------------------------------------------------|
| `base`    | `[txt, x_t]`           | the whole transformer (only the miniature needs it)          |
| `style`   | `[style, txt, x_t]`    | the projector (arXiv 2508.18966, stage 1)                    |
| `triplet` | `[style, txt, x_t, c]` | DiT LoRA; projector frozen (arXiv v1) or trained (CVPR)      |
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field

from ..uso_model.checkpoints import load_projector, load_transformer, merge_lora, read_lora
from ..uso_model.projector import HierarchicalProjector
from ..uso_model.transformer import UsoTransformer
from .adapters import add_lora
from .cache import Cache
from .config import LoopConfig, Settings
from .dataset import DropMode, TripletDataset
from .encoders import Encoders
from .export import export
from .flow import TimeLaw
from .loop import run
from .manifest import read_manifest
from .objective import FlowObjective

__all__ = ["TrainConfig", "train"]

Stage = Literal["base", "style", "triplet"]


class TrainConfig(Settings):
    """Settings of one stage."""

    stage: Stage
    manifests: list[Path] = Field(min_length=1, description="triplet manifests (JSON Lines)")
    rows: int | None = Field(None, gt=0, description="use only so many rows of each manifest")
    layout: Literal["preserved", "shifted"] | None = Field(None, description="use only rows of this layout")
    preserved_share: float | None = Field(
        None, ge=0, le=1, description="share of layout-preserved rows; none: as they come"
    )
    cache: Path = Field(description="folder of encoded pictures and prompts")
    transformer: Path | None = Field(None, description="FLUX file to start from; none: from nothing")
    projector: Path | None = Field(None, description="projector to start from; none: from nothing")
    lora: Path | None = Field(None, description="LoRA that is merged into the frozen transformer first")
    lora_rank: int = Field(128, gt=0)
    train_projector: bool = Field(False, description="stage triplet: train the projector with the LoRA")
    condition_dropout: float = Field(0.25, ge=0, le=1)
    drop_mode: DropMode = "one_of"
    text_dropout: float = Field(0.0, ge=0, le=1)
    time_law: TimeLaw = "uniform_shifted"
    guidance: tuple[float, float] = Field((1.0, 1.0), description="range of the distilled guidance in training")
    out: Path = Field(description="folder the trained files are written to")
    loop: LoopConfig


def train(
    config: TrainConfig,
    encoders: Encoders,
    fresh_transformer: Callable[[], UsoTransformer] | None = None,
    fresh_projector: Callable[[], HierarchicalProjector] | None = None,
) -> None:
    """Run one stage and write what it trained to `config.out`.

    Args:
        config: the stage.
        encoders: frozen encoders.
        fresh_transformer: builds the untrained transformer where the config names no file.
        fresh_projector: builds the untrained projector where the config names no file.

    Raises:
        ValueError: a network is needed that neither a file nor a builder gives.
    """
    torch.manual_seed(config.loop.seed)  # initial weights of what starts from nothing
    transformer = _start(
        config.transformer,
        lambda path: load_transformer(path, torch.float32),
        fresh_transformer,
        "transformer",
    )
    if config.lora is not None:
        merge_lora(transformer, read_lora(config.lora))
    projector = None
    if config.stage != "base":
        projector = _start(config.projector, load_projector, fresh_projector, "projector").float()

    transformer.requires_grad_(config.stage == "base")
    if config.stage == "triplet":
        add_lora(transformer, config.lora_rank, seed=config.loop.seed)
    if projector is not None:
        projector.requires_grad_(config.stage == "style" or config.train_projector)

    dataset = TripletDataset(
        [row for path in config.manifests for row in _rows(config, path)],
        encoders,
        Cache(config.cache),
        style=config.stage != "base",
        content=config.stage == "triplet",
        preserved_share=config.preserved_share,
    )
    objective = FlowObjective(
        transformer.train(),
        projector,
        config.time_law,
        condition_dropout=config.condition_dropout if config.stage == "triplet" else 0.0,
        drop_mode=config.drop_mode,
        guidance=config.guidance,
    )

    def save(step: int) -> None:
        export(config.stage, transformer, projector, config.out, config.model_dump_json(), step)

    run(
        config.loop,
        objective,
        lambda generator, count: dataset.draw(generator, count, config.text_dropout),
        save,
    )


def _rows(config: TrainConfig, path: Path):
    rows = [row for row in read_manifest(path) if config.layout is None or row.layout == config.layout]
    return rows[: config.rows]


def _start(path, load, fresh, name: str):
    if path is not None:
        return load(path)
    if fresh is None:
        raise ValueError(f"this stage needs a {name}: name its file as `{name}` in the settings")
    return fresh()
