"""The judges that USO Score asks: the bundled ones, or files in ComfyUI's folders, told apart by their keys."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import comfy.model_management
import comfy.model_patcher
import folder_paths
import torch
from torch import Tensor

from ...uso_model.errors import UserError
from ...uso_model.untrusted import quoted
from .convert import pil_from_image
from .folders import AUTO, BUNDLED, chosen_files, safetensors_files

__all__ = ["Column", "Likeness", "absent_judge", "judge_choices", "judge_files", "judge_of", "register_judges"]

Column = Literal["style", "subject", "prompt"]

FOLDER = "judges"
"""Folder under ComfyUI's models, and under every path that extra_model_paths.yaml names for it."""
FOLDERS = (FOLDER, "clip_vision")

KINDS: dict[Column, tuple[str, ...]] = {
    "style": ("csd", "style_encoder"),
    "subject": ("dino", "dinov2", "dinov3", "clip"),
    "prompt": ("clip",),
}
"""Judges that can give a column, the one of the usual benches first."""

AT_ONCE = 16
"""Pictures in a network at a time."""

_IN_WORDS: dict[Column, str] = {"style": "styles", "subject": "subjects", "prompt": "words"}
# Measured with `uso eval discriminate` on emoji: area .52 for styles of the first, .78 for subjects of the second.
_LIMITS: dict[Column, str] = {
    "style": "USO-mini's style judge (128 x 128); outside of its drawings it tells subjects apart rather than styles",
    "subject": "USO-mini's identity judge (128 x 128), made for USO-mini's drawings",
}


class Likeness(NamedTuple):
    """A judge, and what has to be known about its numbers."""

    judge: Any
    told: str
    """Which judge it is, and its limit, in one line."""
    patcher: Any = None
    """Where ComfyUI's memory management holds its weights; None for the bundled ones, which are small."""

    @torch.inference_mode()
    def vectors(self, images: Sequence[Tensor]) -> Tensor:
        """Return unit vectors `b D` of pictures `1 h w c` of any size."""
        found = []
        for start in range(0, len(images), AT_ONCE):
            comfy.model_management.throw_exception_if_processing_interrupted()
            pictures = [pil_from_image(image[0]) for image in images[start : start + AT_ONCE]]
            prepared = torch.stack([self.judge.prepare(picture) for picture in pictures])
            found.append(self.judge.embed(prepared.to(self._device())).float().cpu())
        return torch.cat(found)

    @torch.inference_mode()
    def text_vectors(self, texts: Sequence[str]) -> Tensor:
        """Return unit vectors `b D` of texts, of a judge that reads them."""
        self._device()
        return self.judge.embed_texts(texts).float().cpu()

    def _device(self) -> Any:
        if self.patcher is None:
            return "cpu"
        # Whole: layers of plain torch cannot be streamed.
        comfy.model_management.load_models_gpu([self.patcher], force_full_load=True)
        return self.patcher.load_device


def register_judges() -> None:
    """Tell ComfyUI of the folder when the pack is loaded; a folder that it knows already stays as it is."""
    folder_paths.add_model_folder_path(FOLDER, str(Path(folder_paths.models_dir) / FOLDER))


def judge_choices() -> list[str]:
    """Return what a user may choose from."""
    register_judges()
    return [BUNDLED, AUTO, *dict.fromkeys(name for folder in FOLDERS for name in safetensors_files(folder))]


def judge_files(choices: Sequence[str | None]) -> list[tuple[str, int, int]]:
    """Return what changes when a file of the folders does that a choice may take."""
    register_judges()
    every = AUTO in choices
    names = {folder: safetensors_files(folder) if every else choices for folder in FOLDERS}
    return chosen_files(names)


def absent_judge(choice: str, column: Column) -> str | None:
    """Return the sentence about a file that is not there; None: it is, or none was chosen."""
    register_judges()
    if choice in (BUNDLED, AUTO) or _path(choice) is not None:
        return None
    return (
        f"{quoted(choice)} is not in models/{FOLDER} or models/clip_vision, expected a file for {column}_judge: put it "
        f"there, or choose another; {_usual(column)}."
    )


def judge_of(column: Column, choice: str) -> Likeness:
    """Return the judge of a column, from memory where it was read before and its file is the same.

    Raises:
        UserError: there is none, its file does not fit or cannot be read, or a package that it needs is missing.
    """
    if sentence := absent_judge(choice, column):
        raise UserError(sentence)
    if choice == BUNDLED:
        return _bundled(column)
    name, path = _found(column) if choice == AUTO else _chosen(column, choice)
    seen = path.stat()
    return _of_file(name, str(path), seen.st_mtime_ns, seen.st_size)


@lru_cache
def _bundled(column: Column) -> Likeness:
    from ...mini.judges.vectors import bundled_identity, bundled_style  # not above: its networks are slow to import

    if column == "prompt":
        raise UserError(f"Got {BUNDLED} as prompt_judge, but no bundled judge reads words: choose {AUTO}.")
    return Likeness(bundled_style() if column == "style" else bundled_identity(), _LIMITS[column])


@lru_cache(maxsize=3)
def _of_file(name: str, path: str, changed: int, size: int) -> Likeness:
    from ...uso_model.judging.registry import load_judge

    judge: Any = load_judge(name, path)
    told = f"{judge.card.name} ({judge.card.model}), from {Path(path).name}"
    # Looked up here because ComfyUI rebinds the class when it starts with dynamic memory.
    patcher = comfy.model_patcher.ModelPatcher(
        judge,
        load_device=comfy.model_management.get_torch_device(),
        offload_device=comfy.model_management.unet_offload_device(),
    )
    return Likeness(judge, told, patcher)


def _found(column: Column) -> tuple[str, Path]:
    """Return the first judge of a column whose file is in the folders.

    Raises:
        UserError: none is there, or several files fit.
    """
    from ...uso_model.judging.registry import JUDGES, find_judge

    there = (name for name in KINDS[column] if any(_fits(JUDGES[name], path) for path in _paths()))
    name = next(there, KINDS[column][0])  # where there is none, the usual one is asked for
    return name, find_judge(name, [path for folder in FOLDERS for path in folder_paths.get_folder_paths(folder)])


def _chosen(column: Column, choice: str) -> tuple[str, Path]:
    """Return which judge a file is.

    Raises:
        UserError: it is none of the column.
    """
    from ...uso_model.checkpoints.files import read_shapes
    from ...uso_model.checkpoints.kinds import looks_like
    from ...uso_model.judging.registry import JUDGES

    path = Path(str(_path(choice)))
    for name in KINDS[column]:
        if _fits(JUDGES[name], path):
            return name, path
    other = next((name for name, kind in JUDGES.items() if _fits(kind, path)), None)
    what = f"the judge {other}" if other else looks_like(read_shapes(path))
    raise UserError(
        f"{quoted(choice)} looks like {what}, expected a judge of {_IN_WORDS[column]} as {column}_judge: "
        f"{_usual(column)}."
    )


def _fits(kind: Any, path: Path) -> bool:
    from ...uso_model.checkpoints.files import read_shapes

    if kind.word and kind.word not in f"{path.parent.name}/{path.name}".lower():
        return False
    try:
        return kind.fits(read_shapes(path))
    except (UserError, OSError):  # damaged, or gone since the folder was listed
        return False


def _paths() -> list[Path]:
    found = [folder_paths.get_full_path(folder, name) for folder in FOLDERS for name in safetensors_files(folder)]
    return list(dict.fromkeys(Path(path).resolve() for path in found if path))


def _path(choice: str) -> str | None:
    """Return the file of a choice; graphs come from other systems, whose folders are parted by the other slash."""
    names = (choice, choice.replace("\\", "/"))
    paths = (folder_paths.get_full_path(folder, name) for name in names for folder in FOLDERS)
    return next((path for path in paths if path), None)


def _usual(column: Column) -> str:
    """Return what the usual judge of a column is and where it can be had."""
    from ...uso_model.judging.registry import JUDGES

    card = JUDGES[KINDS[column][0]].card
    return f"the usual one is {card.name}, {card.file} of {card.model} ({card.address})"
