"""The node that loads USO-mini, the small model that comes with the pack."""

from __future__ import annotations

from comfy_api.latest import io

from .graph.lora import blocks_input
from .graph.widgets import checked_widgets
from .sampling.reader import install_reader
from .sockets import ModelPatchSocket, schema

__all__ = ["LoadMini"]


class LoadMini(io.ComfyNode):
    """Load the bundled miniature USO."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node."""
        return schema(
            node_id="USO_LoadMini",
            display_name="USO Load Mini",
            description="Loads USO-mini, the small model that comes with this pack: 128 x 128 pixels, "
            "runs on a laptop, needs no download. Everything it returns works with ComfyUI's own nodes.",
            search_aliases=["uso mini", "demo model", "style transfer", "load checkpoint", "subject"],
            inputs=[
                io.Float.Input(
                    "lora_strength",
                    default=1.0,
                    min=-10.0,
                    max=10.0,
                    step=0.01,
                    tooltip="How strongly the USO LoRA changes the model; 0 gives the plain text-to-image model.",
                ),
                blocks_input(),
            ],
            outputs=[
                io.Model.Output(display_name="model", tooltip="FLUX-shaped model with the USO LoRA."),
                io.Clip.Output(display_name="clip", tooltip="Text encoder for CLIP Text Encode."),
                io.Vae.Output(display_name="vae", tooltip="Autoencoder."),
                io.ClipVision.Output(
                    display_name="clip_vision", tooltip="SigLIP-like vision model for USO Encode Style."
                ),
                ModelPatchSocket.Output(display_name="projector", tooltip="Style projector for USO Project Style."),
            ],
        )

    @classmethod
    @checked_widgets
    def execute(cls, lora_strength: float, lora_blocks: str = "") -> io.NodeOutput:
        """Return the five models."""
        # Here and not above, because its networks need transformers, which takes seconds to import.
        from .graph.mini_models import host_models

        model, *others = host_models(lora_strength, lora_blocks)
        return io.NodeOutput(install_reader(model), *others)
