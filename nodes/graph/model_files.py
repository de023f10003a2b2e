"""USO's own files in ComfyUI's model folders: found and told apart by their keys, whatever they are called."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping

import folder_paths
from torch import Tensor

from ...uso_model.checkpoints.files import read_safetensors, read_shapes
from ...uso_model.checkpoints.kinds import kind_of, looks_like
from ...uso_model.errors import UserError
from ...uso_model.projector import PREFIX
from .checks import ProjectorSizes
from .folders import AUTO, safetensors_files
from .model_checks import ENCODER_FILE, LORA_FILE, PROJECTOR_FILE

__all__ = ["EncoderFile", "LoraFile", "ModelFile", "ProjectorFile", "load_file"]

logger = logging.getLogger(__name__)

Shapes = Mapping[str, tuple[int, ...]]


class ModelFile(ABC):
    """A kind of file, in the size that a model needs."""

    role: str
    """What it is, in words."""
    folder: str
    """Its folder under ComfyUI's models."""
    released: str
    """The released file and where it belongs, for messages."""
    needs: str
    """The size that is needed, in words."""

    @abstractmethod
    def is_kind(self, shapes: Shapes) -> bool:
        """Whether a file is of this kind."""

    @abstractmethod
    def fits(self, shapes: Shapes) -> bool:
        """Whether a file of this kind has the size that is needed."""

    def is_unmistakable(self, shapes: Shapes) -> bool:
        """Whether a file may be taken without being chosen by hand."""
        return self.is_kind(shapes) and self.fits(shapes)


class LoraFile(ModelFile):
    """USO's LoRA, or another one that is chosen by hand."""

    role, folder, released = "a USO LoRA", "loras", LORA_FILE

    def __init__(self, width: int):
        """Take the width of the model that gets the LoRA."""
        self._width = width
        self.needs = f"a model of width {width}"

    def is_kind(self, shapes: Shapes) -> bool:
        """Whether a file is a LoRA of any layout."""
        return kind_of(shapes) in ("uso_lora", "lora")

    def fits(self, shapes: Shapes) -> bool:
        """Whether the width is the model's, or not to be seen from the keys."""
        marks = (".proj_lora1.up.weight", ".img_attn.proj.lora_B.weight", ".img_attn.proj.lora_up.weight")
        widths = [shape[0] for name, shape in shapes.items() if name.endswith(marks) and shape]
        return not widths or widths[0] == self._width

    def is_unmistakable(self, shapes: Shapes) -> bool:
        """Whether a file has USO's own keys; LoRAs of other layouts may be anything."""
        return kind_of(shapes) == "uso_lora" and self.fits(shapes)


class ProjectorFile(ModelFile):
    """USO's style projector."""

    role, folder, released = "a USO style projector", "model_patches", PROJECTOR_FILE
    _mark = f"{PREFIX}high_projection.weight"

    def __init__(self, width: int):
        """Take the width of the model that reads the tokens."""
        self._width = width
        self.needs = f"a model of width {width}"

    def is_kind(self, shapes: Shapes) -> bool:
        """Whether a file holds a projector."""
        return self._mark in shapes

    def fits(self, shapes: Shapes) -> bool:
        """Whether its tokens have the model's width."""
        return shapes[self._mark][:1] == (self._width,)


class EncoderFile(ModelFile):
    """The SigLIP that a projector reads."""

    role, folder, released = "a SigLIP vision model", "clip_vision", ENCODER_FILE

    def __init__(self, sizes: ProjectorSizes):
        """Take the sizes of the projector."""
        self._sizes = (sizes.tokens_in, sizes.dim_in)
        self.needs = f"the projector, which reads {sizes.tokens_in} tokens x {sizes.dim_in}"

    def is_kind(self, shapes: Shapes) -> bool:
        """Whether a file holds a SigLIP of any size."""
        return kind_of(shapes) == "siglip"

    def fits(self, shapes: Shapes) -> bool:
        """Whether tokens and width are the projector's; SigLIP 2 NaFlex has a linear patch embedding instead."""
        position = shapes.get("vision_model.embeddings.position_embedding.weight")
        patch = shapes.get("vision_model.embeddings.patch_embedding.weight", ())
        return position == self._sizes and len(patch) == 4


def load_file(wanted: ModelFile, choice: str) -> tuple[str, dict[str, Tensor]]:
    """Return name and weights of the chosen file, or of the one found by its keys.

    Raises:
        UserError: if there is none, or it is of another kind or size.
    """
    name = _found(wanted) if choice == AUTO else choice
    path = folder_paths.get_full_path_or_raise(wanted.folder, name)
    shapes = read_shapes(path)
    if not wanted.is_kind(shapes):
        raise UserError(f"{name} looks like {looks_like(shapes)}, expected {wanted.role}: choose {wanted.released}.")
    if not wanted.fits(shapes):
        raise UserError(
            f"{name} is {wanted.role} of another size, expected one for {wanted.needs}: choose {wanted.released}."
        )
    return name, read_safetensors(path)


def _found(wanted: ModelFile) -> str:
    """Return the file of a folder that is of the wanted kind and size; one that cannot be read is passed over.

    Raises:
        UserError: if there is none.
    """
    found, broken = [], []
    for name in safetensors_files(wanted.folder):
        try:
            shapes = read_shapes(folder_paths.get_full_path_or_raise(wanted.folder, name))
        except UserError as error:
            broken.append(str(error).rstrip("."))
            continue
        if wanted.is_unmistakable(shapes):
            found.append(name)
    if not found:
        unread = f" ({broken[0]})" if broken else ""
        raise UserError(
            f"Found no file in models/{wanted.folder} that is {wanted.role} for {wanted.needs}{unread}: "
            f"put {wanted.released} in place or choose a file by hand."
        )
    # UNO's LoRA has the same keys as USO's, so a name decides between equals.
    best = min(found, key=lambda name: ("uso" not in name.lower(), name))
    if len(found) > 1:
        logger.info("%d files in models/%s could be %s; took %s", len(found), wanted.folder, wanted.role, best)
    return best
