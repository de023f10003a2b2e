"""USO's own files in ComfyUI's model folders: found and told apart by their keys, whatever they are called."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

import folder_paths

from ...uso_model.checkpoints.files import Header, read_header
from ...uso_model.checkpoints.kinds import kind_of, looks_like
from ...uso_model.checkpoints.lora import uso_modules
from ...uso_model.checkpoints.lora_names import DOWN, UP, place_of
from ...uso_model.checkpoints.marks import is_own_part, is_trained
from ...uso_model.errors import UserError
from ...uso_model.projector import LEVELS, PREFIX
from .checks import ProjectorSizes
from .folders import AUTO, safetensors_files
from .model_checks import ENCODER_FILE, LORA_FILE, PROJECTOR_FILE

__all__ = ["EncoderFile", "Found", "LoraFile", "MissingFile", "ModelFile", "ProjectorFile", "find"]

logger = logging.getLogger(__name__)

Shapes = Mapping[str, tuple[int, ...]]


class Found(NamedTuple):
    """A file that is there and fits."""

    name: str
    path: str
    shapes: Shapes
    fitting: int
    """How many files of the folder could have been taken."""

    @property
    def told(self) -> str:
        """The name, and how many others it was chosen from."""
        return self.name if self.fitting == 1 else f"{self.name} (1 of {self.fitting} that fit)"


class MissingFile(UserError):
    """A file that is not there."""

    def __init__(self, absent: str, put: str, unread: str = ""):
        """Keep what several of these are joined of.

        Args:
            absent: what was not found, and where.
            put: what to put in place, and where.
            unread: a file of the folder that could not be read, with the reason.
        """
        self.absent, self.put = f"no {absent}{f' ({unread})' if unread else ''}", put
        super().__init__(f"Found {self.absent}: put {put} in place or choose a file by hand.")

    @staticmethod
    def all_of(errors: list[MissingFile]) -> UserError:
        """Return one error of several."""
        if len(errors) == 1:
            return errors[0]
        absent, put = (
            f"{', '.join(words[:-1])} and {words[-1]}"
            for words in ([error.absent for error in errors], [error.put for error in errors])
        )
        return UserError(f"Found {absent}: put {put} in place or choose files by hand.")


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
    instead: str | None = None
    """What to do about a file that does not fit, in words; None: choose the released one."""

    @abstractmethod
    def is_kind(self, shapes: Shapes) -> bool:
        """Whether a file is of this kind."""

    @abstractmethod
    def fits(self, shapes: Shapes) -> bool:
        """Whether a file of this kind has the size that is needed."""

    def is_unmistakable(self, header: Header) -> bool:
        """Whether a file may be taken without being chosen by hand."""
        return self.is_kind(header.shapes) and self.fits(header.shapes)


class LoraFile(ModelFile):
    """USO's LoRA, or another one that is chosen by hand."""

    role, folder, released = "a USO LoRA", "loras", LORA_FILE

    def __init__(self, width: int, blocks: tuple[int, int] = (0, 0), instead: str | None = None):
        """Take the width of the model that gets the LoRA, and its double and single blocks."""
        self._width, self._blocks, self.instead = width, blocks, instead
        self.needs = f"a model of width {width}"

    def is_kind(self, shapes: Shapes) -> bool:
        """Whether a file is a LoRA of any layout."""
        return kind_of(shapes) in ("uso_lora", "lora")

    def fits(self, shapes: Shapes) -> bool:
        """Whether the width is the model's, or not to be seen from the keys."""
        marks = (".proj_lora1.up.weight", ".img_attn.proj.lora_B.weight", ".img_attn.proj.lora_up.weight")
        widths = [shape[0] for name, shape in shapes.items() if name.endswith(marks) and shape]
        return not widths or widths[0] == self._width

    def is_unmistakable(self, header: Header) -> bool:
        """Whether a file has USO's own keys for every block; LoRAs of other layouts may be anything."""
        if kind_of(header.shapes) != "uso_lora" or not self.fits(header.shapes) or is_own_part(header.metadata):
            return False
        places = [place for name in header.shapes if (place := place_of(name))]
        parts = ({place.layer for place in places if place.part == part} for part in (DOWN, UP))
        return all(layers >= uso_modules(*self._blocks).keys() for layers in parts)


class ProjectorFile(ModelFile):
    """USO's style projector."""

    role, folder, released = "a USO style projector", "model_patches", PROJECTOR_FILE
    _reads, _mark = f"{PREFIX}high_embedding_linear.0.weight", f"{PREFIX}high_projection.weight"

    def __init__(self, width: int, sizes: ProjectorSizes | None = None, instead: str | None = None):
        """Take the width of the model that reads the tokens, and the sizes of a projector that it must be like."""
        self._width, self._like, self.instead = width, sizes, instead
        self.needs = f"a model of width {width}"

    def is_kind(self, shapes: Shapes) -> bool:
        """Whether a file holds a projector."""
        return self._mark in shapes

    def is_unmistakable(self, header: Header) -> bool:
        """Whether a file has all three levels."""
        whole = all(f"{PREFIX}{level}_projection.weight" in header.shapes for level in LEVELS)
        return whole and super().is_unmistakable(header)

    def fits(self, shapes: Shapes) -> bool:
        """Whether its tokens have the model's width, and it reads what the other projector reads."""
        wanted, tokens, width = self._like, shapes.get(self._reads, ()), shapes[self._mark]
        like = wanted is None or (tokens[1:], width[1:]) == ((wanted.tokens_in,), (wanted.dim_in,))
        return width[:1] == (self._width,) and like


class EncoderFile(ModelFile):
    """The SigLIP that a projector reads."""

    role, folder, released = "a SigLIP vision model", "clip_vision", ENCODER_FILE

    def __init__(self, sizes: ProjectorSizes | None):
        """Take the sizes of the projector; None: any."""
        self._sizes = None if sizes is None else (sizes.tokens_in, sizes.dim_in)
        self.needs = "USO's projector"
        if sizes is not None:
            self.needs = f"the projector, which reads {sizes.tokens_in} tokens x {sizes.dim_in}"

    def is_kind(self, shapes: Shapes) -> bool:
        """Whether a file holds a SigLIP of any size."""
        return kind_of(shapes) == "siglip"

    def fits(self, shapes: Shapes) -> bool:
        """Whether tokens and width are the projector's; SigLIP 2 NaFlex has a linear patch embedding instead."""
        position = shapes.get("vision_model.embeddings.position_embedding.weight")
        patch = shapes.get("vision_model.embeddings.patch_embedding.weight", ())
        return self._sizes in (None, position) and len(patch) == 4


def find(wanted: ModelFile, choice: str) -> Found:
    """Return the chosen file, or the one found by its keys.

    Raises:
        MissingFile: if there is none.
        UserError: if the chosen one cannot be read, or is of another kind or size.
    """
    if choice == AUTO:
        return _by_keys(wanted)
    path = folder_paths.get_full_path(wanted.folder, choice)
    if path is None:
        raise MissingFile(f"{choice} in models/{wanted.folder}", f"{choice} (models/{wanted.folder})")
    shapes, instead = read_header(path).shapes, wanted.instead or f"choose {wanted.released}"
    if not wanted.is_kind(shapes):
        raise UserError(f"{choice} looks like {looks_like(shapes)}, expected {wanted.role}: {instead}.")
    if not wanted.fits(shapes):
        raise UserError(f"{choice} is {wanted.role} of another size, expected one for {wanted.needs}: {instead}.")
    return Found(choice, path, shapes, 1)


def _by_keys(wanted: ModelFile) -> Found:
    """Return the file of a folder that is of the wanted kind and size; one that cannot be read is passed over.

    Of several, released files go before what the trainer has written, and names with `uso` before others: UNO's LoRA
    has the same keys.

    Raises:
        MissingFile: if there is none.
    """
    fitting: dict[str, tuple[str, Header]] = {}
    broken = []
    for name in safetensors_files(wanted.folder):
        path = folder_paths.get_full_path(wanted.folder, name)
        if path is None:  # removed since the folder was listed
            continue
        try:
            header = read_header(path)
        except UserError as error:
            broken.append(str(error).rstrip("."))
            continue
        if wanted.is_unmistakable(header):
            fitting[name] = path, header
    if not fitting:
        absent = f"file in models/{wanted.folder} that is {wanted.role} for {wanted.needs}"
        raise MissingFile(absent, wanted.released, broken[0] if broken else "")
    best = min(fitting, key=lambda name: (is_trained(fitting[name][1].metadata), "uso" not in name.lower(), name))
    if len(fitting) > 1:
        logger.info("%d files in models/%s could be %s; took %s", len(fitting), wanted.folder, wanted.role, best)
    path, header = fitting[best]
    return Found(best, path, header.shapes, len(fitting))
