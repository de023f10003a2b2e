"""Finding and loading USO's own files (LoRA, projector, vision model), told by their keys."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import comfy.clip_vision
import folder_paths
from comfy_api.latest import io
from torch import Tensor

from ..uso_model.checkpoints.files import read_safetensors, read_shapes
from ..uso_model.checkpoints.kinds import kind_of, looks_like
from ..uso_model.checkpoints.strict import CheckpointError
from ..uso_model.errors import UserError
from ..uso_model.projector import PREFIX
from .graph.checks import ENCODER_FILE, LORA_FILE, PROJECTOR_FILE, ProjectorSizes, check_flux, check_projector
from .graph.lora import blocks_input, with_lora
from .graph.projector_patch import projector_patch
from .sockets import ModelPatchSocket, schema

__all__ = ["AUTO", "NONE", "LoadModels"]

AUTO = "auto"
NONE = "none"

logger = logging.getLogger(__name__)

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Wanted:
    """Say what kind of file is looked for."""

    role: str
    folder: str
    file: str
    """Where the released file belongs, for messages."""
    is_kind: Callable[[Shapes], bool]
    fits: Callable[[Shapes], bool]
    """Whether a file of the kind also has the sizes that are needed."""
    needs: str
    """The sizes that are needed, in words."""


class LoadModels(io.ComfyNode):
    """Load the three files USO adds to FLUX.1."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node."""
        loras, patches, encoders = (_files(folder) for folder in ("loras", "model_patches", "clip_vision"))
        return schema(
            node_id="USO_LoadModels",
            display_name="USO Load Models",
            description="Adds the USO LoRA to a FLUX.1 model and loads the style projector and the vision "
            "model. 'auto' looks inside the files of the folder, so their names do not matter.",
            search_aliases=[
                "uso loader",
                "style transfer",
                "subject",
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
        names = [
            (folder, name)
            for folder, choice in chosen.items()
            for name in (_files(folder) if choice == AUTO else [choice])
            if name != NONE
        ]
        paths = [Path(path) for folder, name in names if (path := folder_paths.get_full_path(folder, name))]
        return [(str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in paths]

    @classmethod
    def execute(
        cls, model: Any, lora: str, lora_strength: float, projector: str, clip_vision: str, lora_blocks: str = ""
    ) -> io.NodeOutput:
        """Return the model with the LoRA, the projector and the vision model."""
        hidden_size = check_flux(model)
        if lora != NONE and lora_strength != 0:
            name, weights = _load(_lora_wanted(hidden_size), lora)
            model = with_lora(model, weights, lora_strength, name, lora_blocks)
        patch = projector_patch(_load(_projector_wanted(hidden_size), projector)[1])
        vision = comfy.clip_vision.load_clipvision_from_sd(
            _load(_encoder_wanted(check_projector(patch)), clip_vision)[1]
        )
        return io.NodeOutput(model, patch, vision)


def _lora_wanted(hidden_size: int) -> _Wanted:
    return _Wanted(
        role="a USO LoRA",
        folder="loras",
        file=LORA_FILE,
        is_kind=lambda shapes: kind_of(shapes) in ("uso_lora", "lora"),
        fits=lambda shapes: _lora_width(shapes) in (None, hidden_size),
        needs=f"a model of width {hidden_size}",
    )


def _projector_wanted(hidden_size: int) -> _Wanted:
    return _Wanted(
        role="a USO style projector",
        folder="model_patches",
        file=PROJECTOR_FILE,
        is_kind=lambda shapes: f"{PREFIX}high_projection.weight" in shapes,
        fits=lambda shapes: shapes[f"{PREFIX}high_projection.weight"][0] == hidden_size,
        needs=f"a model of width {hidden_size}",
    )


def _encoder_wanted(sizes: ProjectorSizes) -> _Wanted:
    position = "vision_model.embeddings.position_embedding.weight"
    patch = "vision_model.embeddings.patch_embedding.weight"
    conv_dims = 4  # SigLIP 2 NaFlex has a linear patch embedding instead
    return _Wanted(
        role="a SigLIP vision model",
        folder="clip_vision",
        file=ENCODER_FILE,
        is_kind=lambda shapes: kind_of(shapes) == "siglip",
        fits=lambda shapes: shapes.get(position) == (sizes.tokens_in, sizes.dim_in) and len(shapes[patch]) == conv_dims,
        needs=f"the projector, which reads {sizes.tokens_in} tokens x {sizes.dim_in}",
    )


def _lora_width(shapes: Shapes) -> int | None:
    """Return the width of the model a LoRA was made for, or None where its keys do not show it."""
    marks = (".proj_lora1.up.weight", ".img_attn.proj.lora_B.weight", ".img_attn.proj.lora_up.weight")
    return next((shape[0] for name, shape in shapes.items() if name.endswith(marks)), None)


def _load(wanted: _Wanted, choice: str) -> tuple[str, dict[str, Tensor]]:
    """Return name and weights of the chosen file, or of the one found by its keys.

    Raises:
        UserError: if there is none, or it is of another kind or size.
    """
    name = _find(wanted) if choice == AUTO else choice
    path = folder_paths.get_full_path_or_raise(wanted.folder, name)
    shapes = read_shapes(path)
    if not wanted.is_kind(shapes):
        raise UserError(f"{name} looks like {looks_like(shapes)}, expected {wanted.role}: choose {wanted.file}.")
    if not wanted.fits(shapes):
        raise UserError(
            f"{name} is {wanted.role} of another size, expected one for {wanted.needs}: choose {wanted.file}."
        )
    return name, read_safetensors(path)


def _find(wanted: _Wanted) -> str:
    """Return the file of a folder that is of the wanted kind and size; LoRAs must have USO's own keys."""
    found, broken = [], []
    for name in _files(wanted.folder):
        try:
            shapes = read_shapes(folder_paths.get_full_path_or_raise(wanted.folder, name))
        except CheckpointError as error:
            broken.append(str(error).rstrip("."))
            continue
        own = wanted.folder != "loras" or kind_of(shapes) == "uso_lora"
        if own and wanted.is_kind(shapes) and wanted.fits(shapes):
            found.append(name)
    if not found:
        unread = f" ({broken[0]})" if broken else ""
        raise UserError(
            f"Found no file in models/{wanted.folder} that is {wanted.role} for {wanted.needs}{unread}: "
            f"put {wanted.file} in place or choose a file by hand."
        )
    # UNO's LoRA has the same keys as USO's, so a name decides between equals.
    best = min(found, key=lambda name: ("uso" not in name.lower(), name))
    if len(found) > 1:
        logger.info("%d files in models/%s could be %s; took %s", len(found), wanted.folder, wanted.role, best)
    return best


def _files(folder: str) -> list[str]:
    return [name for name in folder_paths.get_filename_list(folder) if name.lower().endswith((".safetensors", ".sft"))]
