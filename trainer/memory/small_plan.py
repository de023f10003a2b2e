"""The memory plan of a family whose networks are small: nothing but the rows computed at once takes much."""

from __future__ import annotations

from typing import NamedTuple

from ...uso_model.config import FluxConfig
from ..recipe import TrainConfig
from .activations import activations
from .phases import Items
from .weights import trained_values, transformer_weights

__all__ = ["SmallSizes", "small_phases"]

_STATES = 16
"""Bytes of a trained value, its gradient and AdamW's state."""

_READ_AHEAD = 2
"""Micro-batches that are there at a time: the one at work and the next."""


class SmallSizes(NamedTuple):
    """What a plan must know of a family's networks."""

    flux: FluxConfig
    """Of the transformer that a recipe starts from."""
    text_tokens: int
    style_tokens: int
    """Of one style reference."""
    features: int
    """Values of the features of one style reference."""
    encoders: float
    """Bytes of the encoders and the decoder, which stay in memory."""
    decode: float
    """Bytes a pixel of decoding with a gradient, the style descriptor's part among them."""


def small_phases(config: TrainConfig, sizes: SmallSizes, tokens: int, rewarded: int) -> dict[str, Items]:
    """Return the bytes of each phase by what they are for.

    Args:
        config: the recipe.
        sizes: of the networks.
        tokens: of a row.
        rewarded: the same where a picture is rolled out for the reward.
    """
    rows = config.loop.micro_batch or config.loop.batch_size
    states = _STATES + 4 * (config.loop.ema is not None)
    held = {
        "encoders": sizes.encoders,
        "frozen weights": 0 if config.stage == "base" else transformer_weights(config, sizes.flux).resident,
        "trained values and optimizer": states * trained_values(config, sizes.flux),
    }
    styles = config.data.styles * sizes.features if config.stage != "base" else 0
    batch = {"rows read ahead": _READ_AHEAD * rows * 4 * (styles + sizes.flux.context_in_dim * sizes.text_tokens)}
    training = {"activations": rows * activations(config, sizes.flux, tokens)}
    found = {"encoding": {"encoders": sizes.encoders}, "training": {**held, **batch, **training}}
    reward = config.reward
    if reward is not None:
        passes = reward.active if reward.form == "endpoint" else 1
        inputs = passes * activations(config, sizes.flux, rewarded)
        found["rewarding"] = {
            **held,
            **batch,
            "activations and decoding": rows * (inputs + sizes.decode * reward.size**2),
        }
    return found
