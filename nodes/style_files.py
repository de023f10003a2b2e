"""Styles as files to keep and to share: one safetensors with tokens, weights, settings and a thumbnail."""

from __future__ import annotations

import io as bytes_io
import json
from pathlib import Path
from typing import Any

import folder_paths
import numpy
import torch
from comfy_api.latest import io
from PIL import Image
from torch import Tensor

from ..uso_model.checkpoints.files import read_metadata, read_safetensors, write_safetensors
from ..uso_model.errors import UserError
from .graph.convert import image_from_pil, pil_from_image
from .graph.projector_patch import fingerprint
from .sockets import ModelPatchSocket, Style, StyleSocket, schema

__all__ = ["FOLDER", "LoadStyle", "SaveStyle", "read_style", "register_folder", "write_style"]

FOLDER = "uso_styles"
"""Folder under ComfyUI's models, and under every path that extra_model_paths.yaml names for it."""

FORMAT = "uso-style-1"
THUMBNAIL = 192
"""Longest side of the thumbnail in pixels."""


def register_folder() -> None:
    """Tell ComfyUI of the folder when the pack is loaded; a folder that it knows already stays as it is."""
    folder_paths.add_model_folder_path(FOLDER, str(Path(folder_paths.models_dir) / FOLDER))


def style_names() -> list[str]:
    """Return the files that a user may choose from."""
    register_folder()
    return [name for name in folder_paths.get_filename_list(FOLDER) if name.endswith(".safetensors")]


class SaveStyle(io.ComfyNode):
    """Write a style to a file."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node."""
        return schema(
            node_id="USO_SaveStyle",
            display_name="USO Save Style",
            description=f"Writes a style to models/{FOLDER}, small enough to share: its tokens, their weights and a "
            "thumbnail. USO Load Style reads it without the vision model.",
            search_aliases=["save embeds", "export style", "style file", "preset"],
            inputs=[
                StyleSocket.Input("style", tooltip="From USO Project Style or USO Mix Styles."),
                io.String.Input("name", default="my style", tooltip="Name of the file, without its ending."),
                io.Image.Input("thumbnail", optional=True, tooltip="A picture that shows the style, kept small in it."),
                io.Boolean.Input("overwrite", default=False, tooltip="Replace a file of the same name."),
            ],
            outputs=[StyleSocket.Output(display_name="style", tooltip="The style, unchanged.")],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, style: Style, name: str, overwrite: bool, thumbnail: Tensor | None = None) -> io.NodeOutput:
        """Write the file and pass the style on."""
        folder = Path(folder_paths.get_folder_paths(FOLDER)[0])
        path = folder / f"{_safe(name)}.safetensors"
        if path.exists() and not overwrite and _same(path, style):
            return io.NodeOutput(style)  # a graph that is run again after a restart
        if path.exists() and not overwrite:
            raise UserError(
                f"{path.name} is already in models/{FOLDER}, expected a new name: change the name, or set overwrite."
            )
        write_style(path, style, None if thumbnail is None else pil_from_image(thumbnail[0]))
        return io.NodeOutput(style)


class LoadStyle(io.ComfyNode):
    """Read a style from a file."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node."""
        return schema(
            node_id="USO_LoadStyle",
            display_name="USO Load Style",
            description=f"Reads a style from models/{FOLDER}. Needs neither the picture nor the vision model.",
            search_aliases=["load embeds", "style library", "preset", "import style"],
            inputs=[
                io.Combo.Input("name", options=style_names(), tooltip="File of the style, from models/uso_styles."),
                ModelPatchSocket.Input(
                    "projector",
                    optional=True,
                    tooltip="The projector of your other styles; connected, a style made with another is refused.",
                ),
            ],
            outputs=[
                StyleSocket.Output(display_name="style", tooltip="Style tokens for USO Apply."),
                io.Image.Output(display_name="thumbnail", tooltip="The picture in the file, grey where there is none."),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, name: str, projector: Any = None) -> str:
        """Return what changes when the file does."""
        path = Path(folder_paths.get_full_path_or_raise(FOLDER, name))
        return f"{path.stat().st_mtime_ns} {path.stat().st_size}"

    @classmethod
    def execute(cls, name: str, projector: Any = None) -> io.NodeOutput:
        """Return the style and its thumbnail."""
        path = Path(folder_paths.get_full_path_or_raise(FOLDER, name))
        style, thumbnail = read_style(path)
        if projector is not None and style.projector is not None and style.projector != fingerprint(projector):
            raise UserError(
                f"{path.name} was made with another projector ({style.projector} instead of {fingerprint(projector)}), "
                "expected one made with the projector that is connected: load the projector that the style was made "
                "with, or make the style again from its picture."
            )
        return io.NodeOutput(style, image_from_pil(thumbnail))


def write_style(path: Path, style: Style, thumbnail: Image.Image | None) -> None:
    """Write a style in float16, whose step is far below what a picture shows."""
    tensors = {"tokens": style.tokens.half().contiguous()}
    if style.bias is not None:
        tensors["bias"] = style.bias.float().contiguous()
    if thumbnail is not None:
        tensors["thumbnail"] = torch.from_numpy(numpy.frombuffer(_png(thumbnail), dtype=numpy.uint8).copy())
    settings = {"counts": style.counts, "projector": style.projector}
    write_safetensors(path, tensors, {"format": FORMAT, "settings": json.dumps(settings)})


def read_style(path: Path) -> tuple[Style, Image.Image]:
    """Read a style and its thumbnail, a grey picture where the file has none.

    Raises:
        UserError: the file holds something else.
    """
    metadata = read_metadata(path)
    if metadata.get("format") != FORMAT:
        raise UserError(
            f"{path.name} is no style file (format {metadata.get('format')!r}), expected {FORMAT!r}: choose a file "
            "that USO Save Style has written."
        )
    tensors, settings = read_safetensors(path), json.loads(metadata["settings"])
    style = Style(
        tokens=tensors["tokens"].float(),
        counts=tuple(settings["counts"]),
        bias=tensors.get("bias"),
        projector=settings["projector"],
    )
    if "thumbnail" not in tensors:
        return style, Image.new("RGB", (THUMBNAIL, THUMBNAIL), (128, 128, 128))
    with Image.open(bytes_io.BytesIO(tensors["thumbnail"].numpy().tobytes())) as picture:
        return style, picture.convert("RGB")


def _same(path: Path, style: Style) -> bool:
    """Whether a file already holds a style."""
    kept = read_style(path)[0]
    biases = [torch.zeros(1) if part is None else part.float().cpu() for part in (kept.bias, style.bias)]
    return (
        (kept.counts, kept.projector) == (style.counts, style.projector)
        and torch.equal(kept.tokens.half(), style.tokens.half().cpu())
        and torch.equal(*biases)
    )


def _png(picture: Image.Image) -> bytes:
    small = picture.convert("RGB")
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    out = bytes_io.BytesIO()
    small.save(out, "PNG")
    return out.getvalue()


def _safe(name: str) -> str:
    """Return a name that stays in its folder.

    Raises:
        UserError: nothing usable is left.
    """
    clean = "".join(c if c.isalnum() or c in " -_." else "_" for c in name).strip(" .")
    if not clean:
        raise UserError(f"Got the name {name!r} for a style, expected letters or digits: choose another.")
    return clean
