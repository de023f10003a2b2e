"""The simple way: one node for a style picture and one for a subject picture, with a strength and a mask each."""

from __future__ import annotations

from functools import partial
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..uso_model.images import CONTENT_LONG_SIDE
from .content import DRAWN_LONG_SIDE, EncodeContent
from .graph.conditioning import Entries, with_content, with_style
from .graph.dial_inputs import LARGEST
from .graph.dials import Dial
from .graph.host_types import ClipVision, ModelPatch, Vae
from .graph.left_out import LEFT_OUT, is_off, needed
from .graph.timing import with_reference
from .graph.widgets import checked_widgets
from .sockets import ModelPatchSocket, schema
from .style import EncodeStyle, ProjectStyle

__all__ = ["StyleReference", "SubjectReference"]

FIT, SIZE_RULE = "squash", "official"


class StyleReference(io.ComfyNode):
    """Add the style of a picture to a prompt."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node."""
        return schema(
            node_id="USO_StyleReference",
            display_name="USO Style Reference",
            description="Adds the style of a picture to a prompt, as IPAdapter does, but without a MODEL wire. Put "
            "several in a row for several styles, and USO Subject Reference before or after it. For more dials use USO "
            "Encode Style, USO Project Style and USO Apply, which do the same.",
            search_aliases=[
                "style transfer",
                "style reference",
                "sref",
                "ip adapter",
                "ipadapter",
                "instantstyle",
                "image prompt",
                "moodboard",
                "apply style",
                "redux",
                "reference image",
                "uso",
            ],
            inputs=[
                _conditioning_input("the style"),
                needed(
                    io.ClipVision,
                    "clip_vision",
                    tooltip="SigLIP so400m 384, in the place of IPAdapter's clip_vision: from USO Load Models, USO "
                    "Load Mini or Load CLIP Vision.",
                ),
                needed(
                    ModelPatchSocket,
                    "projector",
                    tooltip="USO's style projector, in the place of IPAdapter's model: from USO Load Models or "
                    "USO Load Mini.",
                ),
                needed(
                    io.Image,
                    "image",
                    tooltip="Style picture of any size, squashed to a square as USO was trained; a batch counts as "
                    "several styles that are used together.",
                ),
                _strength_input("the style"),
                _mask_input("The rest is turned into mid-grey."),
            ],
            outputs=[
                io.Conditioning.Output(display_name="conditioning", tooltip="The prompt with the style."),
            ],
        )

    @classmethod
    @checked_widgets
    def execute(
        cls,
        conditioning: Entries,
        clip_vision: ClipVision = LEFT_OUT,
        projector: ModelPatch = LEFT_OUT,
        image: Tensor = LEFT_OUT,
        strength: float = 1.0,
        mask: Tensor | None = None,
    ) -> io.NodeOutput:
        """Return the conditioning with the style; the same object where it is off."""
        if strength == 0 or is_off(clip_vision=clip_vision, projector=projector, image=image):
            return io.NodeOutput(conditioning)
        features = EncodeStyle.execute(clip_vision, image, FIT, mask).result[0]
        style = ProjectStyle.execute(features, projector).result[0]
        return io.NodeOutput(with_reference(conditioning, Dial(strength=strength), partial(with_style, style=style)))


class SubjectReference(io.ComfyNode):
    """Add the subject of a picture to a prompt."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node."""
        return schema(
            node_id="USO_SubjectReference",
            display_name="USO Subject Reference",
            description="Adds the subject of a picture, such as a person, an animal or a thing, to a prompt, so that "
            "it stays the same in a new picture. Put several in a row for several subjects, and USO Style Reference "
            "before or after it. For more dials use USO Encode Content and USO Apply, which do the same.",
            search_aliases=[
                "subject",
                "identity",
                "character reference",
                "consistent character",
                "cref",
                "face",
                "faceid",
                "ip adapter",
                "ipadapter",
                "image prompt",
                "reference image",
                "reference latent",
                "layout",
                "uno",
                "uso",
            ],
            inputs=[
                _conditioning_input("the subject"),
                io.Vae.Input(
                    "vae",
                    tooltip="FLUX.1's autoencoder, the one that decodes the picture: from Load VAE, Load Checkpoint or "
                    "USO Load Mini.",
                ),
                needed(
                    io.Image,
                    "image",
                    tooltip="Subject picture of any size, read at 512 pixels as USO was trained; a batch counts as "
                    "several subjects.",
                ),
                _strength_input("the subject"),
                _mask_input("The rest is painted white."),
            ],
            outputs=[
                io.Conditioning.Output(display_name="conditioning", tooltip="The prompt with the subject."),
                io.Latent.Output(
                    display_name="latent",
                    tooltip="Empty latent in the aspect ratio of the picture, 1024 pixels long (128 for USO-mini); any "
                    "other latent works too.",
                ),
            ],
        )

    @classmethod
    @checked_widgets
    def execute(
        cls,
        conditioning: Entries,
        vae: Vae,
        image: Tensor = LEFT_OUT,
        strength: float = 1.0,
        mask: Tensor | None = None,
    ) -> io.NodeOutput:
        """Return the conditioning with the subject, the same object where it is off, and an empty latent."""
        content, latent, _ = EncodeContent.execute(vae, image, *_long_sides(vae), mask, size_rule=SIZE_RULE).result
        if strength != 0 and content is not None:
            add = partial(with_content, content=content)
            conditioning = with_reference(conditioning, Dial(strength=strength), add)
        return io.NodeOutput(conditioning, latent)


def _conditioning_input(what: str) -> Any:
    return io.Conditioning.Input(
        "conditioning",
        tooltip=f"The prompt that gets {what}: from CLIP Text Encode, FluxGuidance, or another reference. Leave the "
        "negative prompt without it.",
    )


def _strength_input(what: str) -> Any:
    return io.Float.Input(
        "strength",
        optional=True,
        default=1.0,
        min=0.0,
        max=LARGEST,
        step=0.01,
        tooltip=f"How much {what} counts, as IPAdapter's weight: 1 is USO, 0 is as if this node were not there.",
    )


def _mask_input(rest: str) -> Any:
    return io.Mask.Input(
        "mask",
        optional=True,
        tooltip=f"Part of this picture to read. {rest} Alpha serves as mask where none is connected. It is not "
        "IPAdapter's attn_mask: for a region of the drawn picture use USO Apply.",
    )


def _long_sides(vae: Vae) -> tuple[int, int]:
    """Return the longer side at which a subject is read and that of the latent; USO-mini's VAE names its own."""
    own = getattr(vae, "uso_picture_size", None)
    return (own, own) if own else (CONTENT_LONG_SIDE, DRAWN_LONG_SIDE)
