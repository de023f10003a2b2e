"""The node that loads USO-mini, the small model that comes with the pack."""

from __future__ import annotations

from comfy_api.latest import io

from .graph.folders import BUNDLED, chosen_files, safetensors_files
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
            "runs on a laptop, needs no download. What it returns works with ComfyUI's own nodes for FLUX.1.",
            search_aliases=["uso mini", "demo model", "load checkpoint", "no download"],
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
                *(
                    io.Combo.Input(
                        name,
                        options=[BUNDLED, *safetensors_files(folder)],
                        default=BUNDLED,
                        optional=True,
                        tooltip=f"{what} of your own for USO-mini from models/{folder}, as uso train toy writes it; "
                        "bundled is the pack's.",
                    )
                    for name, folder, what in (
                        ("lora", "loras", "LoRA"),
                        ("projector", "model_patches", "Style projector"),
                    )
                ),
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
    def fingerprint_inputs(
        cls, lora_strength: float = 1.0, lora_blocks: str = "", lora: str = BUNDLED, projector: str = BUNDLED
    ) -> list[tuple[str, int, int]]:
        """Return what changes when the files of one's own do."""
        chosen = {"loras": lora, "model_patches": projector}
        return chosen_files({folder: [name] for folder, name in chosen.items() if name != BUNDLED})

    @classmethod
    @checked_widgets
    def execute(
        cls, lora_strength: float, lora_blocks: str = "", lora: str = BUNDLED, projector: str = BUNDLED
    ) -> io.NodeOutput:
        """Return the five models."""
        # Here and not above, because its networks need transformers, which takes seconds to import.
        from .graph.mini_models import host_models

        model, *others = host_models(lora_strength, lora_blocks, lora, projector)
        return io.NodeOutput(install_reader(model), *others)
