"""The style side: pictures to SigLIP features, features to style tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from comfy_api.latest import io
from torch import Tensor

from ..uso_model.errors import UserError
from ..uso_model.projector import LEVELS
from ..uso_model.style import StyleFeatures, siglip_pixels, style_layers
from .graph.checks import check_vision
from .graph.convert import MID_GREY, image_from_bytes, pil_from_image
from .graph.host_types import ClipVision, ModelPatch
from .graph.left_out import LEFT_OUT, NOTHING_TO_SHOW, is_off, needed
from .graph.model_checks import check_given
from .graph.pictures import visible_part
from .graph.projector_patch import fingerprint, project
from .graph.widgets import checked_widgets
from .sockets import FeaturesSocket, ModelPatchSocket, Style, StyleSocket, advanced, schema

__all__ = ["EncodeStyle", "ProjectStyle"]

FITS = ("squash", "center", "pad")

LEVEL_MEANING = {
    "low": "the early depth: texture and brushwork",
    "mid": "the middle depth",
    "high": "the late depth: what the picture means",
}

BY_WEIGHT = "by weight"

PRESETS = {
    "closest": {"low": 1.0, "mid": 1.0, "high": 1.0},
    "close": {"low": 0.0, "mid": 1.0, "high": 1.0},
    "loose": {"low": 0.0, "mid": 1.0, "high": 0.0},
}
"""Level weights, named for how like the style USO-mini's pictures become with them (docs/dials.md)."""


class EncodeStyle(io.ComfyNode):
    """Read style pictures with SigLIP, each once."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node."""
        return schema(
            node_id="USO_EncodeStyle",
            display_name="USO Encode Style",
            description="Reads the style of one or more pictures with SigLIP. Runs once per picture; the "
            "encoder is not needed afterwards and ComfyUI may unload it.",
            search_aliases=[
                "style reference",
                "siglip",
                "clip vision encode",
                "reference image",
            ],
            inputs=[
                needed(
                    io.ClipVision,
                    "clip_vision",
                    tooltip="SigLIP so400m 384: sigclip_vision_patch14_384.safetensors from "
                    "models/clip_vision, or the output of a USO loader.",
                ),
                needed(
                    io.Image,
                    "image",
                    tooltip="Style picture; a batch counts as several styles that are used together. Alpha serves as "
                    "mask where none is connected.",
                ),
                io.Combo.Input(
                    "fit",
                    optional=True,
                    options=list(FITS),
                    default=FITS[0],
                    tooltip="How a picture becomes square: squash distorts it (what USO was trained "
                    "with), center cuts off the longer sides, pad adds grey bars.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Part of the picture to take the style from; the rest is turned into mid-grey.",
                ),
            ],
            outputs=[
                FeaturesSocket.Output(display_name="features", tooltip="Three depths of SigLIP features per picture."),
                io.Image.Output(display_name="seen", tooltip="The pictures as SigLIP sees them."),
            ],
        )

    @classmethod
    @checked_widgets
    def execute(
        cls,
        clip_vision: ClipVision = LEFT_OUT,
        image: Tensor = LEFT_OUT,
        fit: str = FITS[0],
        mask: Tensor | None = None,
    ) -> io.NodeOutput:
        """Return the features of every picture."""
        if is_off(clip_vision=clip_vision, image=image):
            return io.NodeOutput(LEFT_OUT, NOTHING_TO_SHOW)
        check_vision(clip_vision)
        check_given(image, "image", "a style picture: connect a Load Image node")
        pictures = visible_part(image, mask, "style", MID_GREY)
        # 8 bits first and then the official resize: what the trainer shows SigLIP, to the bit.
        seen = [image_from_bytes(siglip_pixels(pil_from_image(x), clip_vision.image_size, fit)) for x in pictures]
        levels = [_encode(clip_vision, square) for square in seen]
        features = StyleFeatures(*(torch.cat(level) for level in zip(*levels, strict=True)))
        return io.NodeOutput(features, torch.cat(seen))


class ProjectStyle(io.ComfyNode):
    """Turn SigLIP features into style tokens, once per picture instead of once per step."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node."""
        return schema(
            node_id="USO_ProjectStyle",
            display_name="USO Project Style",
            description="Turns the features of style pictures into the tokens FLUX reads, with USO's "
            "hierarchical projector. Runs once per picture, not once per step.",
            search_aliases=[
                "style reference",
                "uso projector",
                "style tokens",
            ],
            inputs=[
                needed(FeaturesSocket, "features", tooltip="From USO Encode Style."),
                needed(
                    ModelPatchSocket,
                    "projector",
                    tooltip="USO's style projector: uso-flux1-projector-v1.safetensors from "
                    "models/model_patches, or the output of a USO loader.",
                ),
                *(_level_input(level, what) for level, what in LEVEL_MEANING.items()),
                io.Combo.Input(
                    "tokens_per_level",
                    optional=True,
                    options=["all", "1/2", "1/4", "1/8"],
                    default="all",
                    **advanced(io.Combo.Input),
                    tooltip="How many of each level's tokens are kept, as means of neighbours in the projector's list; "
                    "fewer say less.",
                ),
                io.Combo.Input(
                    "preset",
                    optional=True,
                    options=[BY_WEIGHT, *PRESETS],
                    default=BY_WEIGHT,
                    **advanced(io.Combo.Input),
                    tooltip="Weights of the levels by how like the style USO-mini's pictures became: closest has all "
                    "three, close leaves low out, loose has mid alone. By weight: as set above.",
                ),
            ],
            outputs=[StyleSocket.Output(display_name="style", tooltip="Style tokens for USO Apply.")],
        )

    @classmethod
    @checked_widgets
    def execute(
        cls,
        features: StyleFeatures = LEFT_OUT,
        projector: ModelPatch = LEFT_OUT,
        low: float = 1.0,
        mid: float = 1.0,
        high: float = 1.0,
        tokens_per_level: str = "all",
        preset: str = BY_WEIGHT,
    ) -> io.NodeOutput:
        """Return the style tokens of all pictures, None where what they are made of is left out."""
        if is_off(features=features, projector=projector):
            return io.NodeOutput(None)
        check_given(features, "features", "those of a style picture: connect a USO Encode Style node")
        tokens, sizes = project(projector, features)
        parts = 1 if tokens_per_level == "all" else int(tokens_per_level.partition("/")[2])
        weights = PRESETS.get(preset, {"low": low, "mid": mid, "high": high})
        style = of_levels(tokens, sizes.tokens_out, [weights[level] for level in LEVELS], parts)
        return io.NodeOutput(replace(style, projector=fingerprint(projector)))


def of_levels(tokens: Tensor, per_level: int, weights: Sequence[float], parts: int = 1) -> Style:
    """Return the tokens of several pictures with a weight for each level; a level of weight 0 is left out.

    Args:
        tokens: of all pictures, each level's after the other, `1 L D`.
        per_level: tokens of one level.
        weights: of the levels in the order of their tokens.
        parts: neighbours that become one token.

    Raises:
        UserError: all weights are 0, one is negative, or the tokens cannot be parted so.
    """
    if min(weights) < 0 or max(weights) == 0:
        raise UserError(
            f"Got level weights {', '.join(f'{w:g}' for w in weights)} (high, mid, low), expected none below 0 and one "
            "above: to leave the style out, set style_strength of USO Apply to 0."
        )
    used = [level for level, weight in enumerate(weights) if weight > 0]
    pictures = tokens.shape[1] // (len(weights) * per_level)
    split = tokens.unflatten(1, (pictures, len(weights), per_level))[:, :, used]
    if per_level % parts:
        raise UserError(
            f"Got 1/{parts} of {per_level} tokens for each level, expected a share without a rest: set "
            "tokens_per_level to all."
        )
    if parts > 1:
        split = split.unflatten(3, (per_level // parts, parts)).mean(dim=4)
    bias = torch.tensor([weights[level] for level in used]).log().repeat_interleave(split.shape[3]).repeat(pictures)
    count = len(used) * split.shape[3]
    return Style(tokens=split.flatten(1, 3), counts=(count,) * pictures, bias=bias if bias.any() else None)


def _level_input(level: str, what: str) -> Any:
    return io.Float.Input(
        level,
        optional=True,
        default=1.0,
        min=0.0,
        max=5.0,
        step=0.01,
        tooltip=f"Weight of {what}; 0 leaves its tokens out.",
    )


def _encode(clip_vision: ClipVision, square: Tensor) -> StyleFeatures:
    """Return the three levels of one picture of the encoder's own size."""
    # At this size ComfyUI only rounds to 8 bits and normalises, whatever its crop setting.
    states = clip_vision.encode_image(square, crop=False).all_hidden_states  # 1 layers N C, without the embeddings
    # A copy, because a slice would keep all layers (27 of which 3 are needed) alive in the node cache.
    return StyleFeatures(*(states[:, layer - 1].clone() for layer in style_layers(states.shape[1])))
