"""How much disk the encodings of FLUX.1's encoders take, computed before anything is encoded."""

from __future__ import annotations

from collections.abc import Sequence

from ...uso_model.config import FLUX_AE, FLUX_DEV
from ...uso_model.packing import PIXELS_PER_LATENT
from ..recipe import TrainConfig
from .manifest import Row

__all__ = ["STYLE_BYTES", "TEXT_BYTES", "cache_bytes", "latent_bytes"]

TEXT_BYTES = 2 * (512 * FLUX_DEV.context_in_dim + FLUX_DEV.vec_in_dim)
"""Of one prompt: 512 states of T5 and CLIP's pooled one, bfloat16."""

STYLE_BYTES = 2 * 3 * 729 * 1152
"""Of one style picture: three levels of SigLIP-so400m, float16."""

DESCRIPTOR_BYTES = 4 * 768
"""Of one reference and judge: CSD's vector, float32; those of others are as small."""


def latent_bytes(side: int) -> int:
    """Return the bytes of mean and log-variance of a square picture, float16."""
    return 2 * 2 * FLUX_AE.z_channels * (side // PIXELS_PER_LATENT) ** 2


def cache_bytes(config: TrainConfig, rows: Sequence[Row]) -> int:
    """Return the bytes of everything that a recipe encodes of some rows, each distinct input once."""
    size = TEXT_BYTES * len({"", *(row.prompt for row in rows)})
    ways = 2 if config.data.flip else 1  # as it is and mirrored
    size += ways * sum(map(latent_bytes, config.data.sizes)) * len({row.target for row in rows})
    styles = {path for row in rows for path in row.style}
    if config.stage != "base":
        if config.conditions.style_path == "vae":
            size += latent_bytes(config.data.content_size) * len(styles)
        elif config.data.style_features == "cached":
            size += STYLE_BYTES * len(styles)
        size += DESCRIPTOR_BYTES * len(styles) * (0 if config.reward is None else len(config.reward.judges))
    if config.stage == "triplet":
        size += ways * latent_bytes(config.data.content_size) * len({path for row in rows for path in row.contents})
    return size
