"""The node that loads USO's own files: LoRA, projector, vision model."""

from __future__ import annotations

import logging
from typing import Any

import comfy.clip_vision
from comfy_api.latest import io

from ..uso_model.errors import UserError
from .graph.checks import projector_sizes
from .graph.folders import AUTO, chosen_files, safetensors_files
from .graph.host_types import Model
from .graph.lora import blocks_input
from .graph.model_checks import ENCODER_FILE, block_counts, check_flux, hidden_size
from .graph.node_text import show_on_node
from .graph.projector_patch import projector_patch
from .graph.widgets import checked_widgets
from .sampling.reader import install_reader
from .sockets import ModelPatchSocket, schema

__all__ = ["AUTO", "NONE", "LoadModels"]

NONE = "none"

logger = logging.getLogger(__name__)


class LoadModels(io.ComfyNode):
    """Load the three files USO adds to FLUX.1."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node."""
        loras, patches, encoders = (safetensors_files(folder) for folder in ("loras", "model_patches", "clip_vision"))
        return schema(
            node_id="USO_LoadModels",
            display_name="USO Load Models",
            description="Adds the USO LoRA to a FLUX.1 model and loads the style projector and the vision "
            "model. 'auto' looks inside the files of the folder, so their names do not matter.",
            search_aliases=[
                "uso loader",
                "load lora",
                "load model patch",
                "sigclip",
            ],
            inputs=[
                io.Model.Input("model", tooltip="FLUX.1 from Load Diffusion Model or Load Checkpoint."),
                io.Combo.Input(
                    "lora",
                    options=[AUTO, NONE, *loras],
                    default=AUTO,
                    tooltip="USO's LoRA from models/loras: uso-flux1-dit-lora-v1.safetensors. auto finds "
                    "it, none leaves the model as it is.",
                ),
                io.Float.Input(
                    "lora_strength",
                    default=1.0,
                    min=-10.0,
                    max=10.0,
                    step=0.01,
                    tooltip="How strongly the LoRA changes the model; 1 is USO, 0 leaves the model as it is.",
                ),
                io.Combo.Input(
                    "projector",
                    options=[AUTO, *patches],
                    default=AUTO,
                    tooltip="Style projector from models/model_patches: uso-flux1-projector-v1.safetensors.",
                ),
                io.Combo.Input(
                    "clip_vision",
                    options=[AUTO, *encoders],
                    default=AUTO,
                    tooltip="SigLIP from models/clip_vision: sigclip_vision_patch14_384.safetensors.",
                ),
                blocks_input(),
            ],
            outputs=[
                io.Model.Output(display_name="model", tooltip="The model with the LoRA."),
                ModelPatchSocket.Output(display_name="projector", tooltip="Style projector for USO Project Style."),
                io.ClipVision.Output(display_name="clip_vision", tooltip="Vision model for USO Encode Style."),
            ],
        )

    @classmethod
    def fingerprint_inputs(
        cls,
        model: Any = None,
        lora: str = AUTO,
        lora_strength: float = 1.0,
        projector: str = AUTO,
        clip_vision: str = AUTO,
        lora_blocks: str = "",
    ) -> list[tuple[str, int, int]]:
        """Return what changes when the files that could be loaded change."""
        chosen = {"loras": lora, "model_patches": projector, "clip_vision": clip_vision}
        return chosen_files(
            {
                folder: safetensors_files(folder) if choice == AUTO else [choice]
                for folder, choice in chosen.items()
                if choice != NONE
            }
        )

    @classmethod
    @checked_widgets
    def execute(
        cls, model: Model, lora: str, lora_strength: float, projector: str, clip_vision: str, lora_blocks: str = ""
    ) -> io.NodeOutput:
        """Return the model with the LoRA, the projector and the vision model."""
        # Not above: the readers of weight files are slow to import.
        from ..uso_model.checkpoints.files import read_metadata, read_safetensors
        from .graph.lora_twice import misplaced
        from .graph.model_files import EncoderFile, Found, LoraFile, MissingFile, ModelFile, ProjectorFile, find
        from .graph.trained_lora import with_lora_file

        check_flux(model)
        width = hidden_size(model)
        found: dict[str, Found] = {}
        missing: list[MissingFile] = []

        def look_for(part: str, wanted: ModelFile, choice: str) -> None:
            try:
                found[part] = find(wanted, choice)
            except MissingFile as error:
                missing.append(error)

        if lora != NONE and lora_strength != 0:
            look_for("LoRA", LoraFile(width, block_counts(model)), lora)
        look_for("projector", ProjectorFile(width), projector)
        patch = sizes = None
        if "projector" in found:
            patch = projector_patch(read_safetensors(found["projector"].path), found["projector"].name)
            sizes = projector_sizes(patch)
        look_for("vision model", EncoderFile(sizes), clip_vision)
        if missing:
            raise MissingFile.all_of(missing)
        warning = ""
        if "LoRA" in found:
            name, path, *_ = found["LoRA"]
            patched = with_lora_file(model, path, lora_strength, name, lora_blocks)
            if warning := misplaced(model, patched, name, read_metadata(path)):
                logger.warning("%s", warning)
            model = patched
        vision = _vision_model(read_safetensors(found["vision model"].path), found["vision model"].name)
        taken = ";\n".join(f"{part}: {file.told}" for part, file in found.items())
        told = taken if AUTO in (lora, projector, clip_vision) else ""
        show_on_node(f"{warning}\n{told}".strip())
        return io.NodeOutput(install_reader(model), patch, vision)


def _vision_model(weights: dict[str, Any], name: str) -> Any:
    """Return the CLIP_VISION of a SigLIP.

    Raises:
        UserError: if ComfyUI does not know its size.
    """
    layers = len({key.split(".")[3] for key in weights if key.startswith("vision_model.encoder.layers.")})
    vision = comfy.clip_vision.load_clipvision_from_sd(weights)
    if vision is None:
        raise UserError(
            f"{name} is a SigLIP vision model of {layers} layers, which ComfyUI does not know, expected so400m with "
            f"27: choose {ENCODER_FILE}."
        )
    return vision
