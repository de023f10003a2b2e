"""The nodes that write styles to files and read them again."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import folder_paths
from comfy_api.latest import io
from torch import Tensor

from ..uso_model.errors import UserError
from ..uso_model.untrusted import quoted
from .graph.convert import image_from_pil, pil_from_image
from .graph.pictures import check_images
from .graph.projector_patch import fingerprint
from .graph.style_names import ENDING, style_file_name
from .sockets import ModelPatchSocket, Style, StyleSocket, schema

__all__ = ["FOLDER", "LoadStyle", "SaveStyle", "register_folder", "style_names"]

logger = logging.getLogger(__name__)

NAME = "my style"

FOLDER = "uso_styles"
"""Folder under ComfyUI's models, and under every path that extra_model_paths.yaml names for it."""


def register_folder() -> None:
    """Tell ComfyUI of the folder when the pack is loaded; a folder that it knows already stays as it is."""
    folder_paths.add_model_folder_path(FOLDER, str(Path(folder_paths.models_dir) / FOLDER))


def style_names() -> list[str]:
    """Return the files that a user may choose from."""
    register_folder()
    return [name for name in folder_paths.get_filename_list(FOLDER) if name.endswith(ENDING)]


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
                StyleSocket.Input("style", optional=True, tooltip="From USO Project Style or USO Mix Styles."),
                io.String.Input(
                    "name",
                    optional=True,
                    default=NAME,
                    tooltip="Name of the file, after sub-folders if you like: ink/warm. Its ending may be left out.",
                ),
                io.Image.Input("thumbnail", optional=True, tooltip="A picture that shows the style, kept small in it."),
                io.Boolean.Input("overwrite", optional=True, default=False, tooltip="Replace a file of the same name."),
            ],
            outputs=[StyleSocket.Output(display_name="style", tooltip="The style, unchanged.")],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls,
        style: Style | None = None,
        name: str = NAME,
        overwrite: bool = False,
        thumbnail: Tensor | None = None,
    ) -> io.NodeOutput:
        """Write the file and pass the style on; where there is none, as its node is muted, write nothing."""
        if style is None:
            logger.warning("USO Save Style saves nothing: no style comes in.")
            return io.NodeOutput(None)
        from .graph.style_format import same_style, write_style  # not above: the readers are slow to import

        if thumbnail is not None:
            check_images(thumbnail, "thumbnail")
        file = style_file_name(name)
        path = Path(folder_paths.get_folder_paths(FOLDER)[0], file)
        if path.exists() and not path.is_file():
            raise UserError(
                f"{file} in models/{FOLDER} is a folder, expected a new name: change the name, or take it away."
            )
        if blocked := next((part for part in path.parents if part.exists() and not part.is_dir()), None):
            raise UserError(
                f"{blocked.name} in models/{FOLDER} is a file, expected a folder for {file}: change the name, or take "
                "the file away."
            )
        if path.exists() and not overwrite:
            if same_style(path, style):
                return io.NodeOutput(style)  # a graph that is run again after a restart
            raise UserError(
                f"{file} is already in models/{FOLDER}, expected a new name: change the name, or set overwrite."
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
    def validate_inputs(cls, name: str | None = None) -> bool | str:
        """Return whether there is such a style, in place of ComfyUI's look at a list that may be older than the file.

        A name that comes by a link is not known yet.
        """
        return True if name is None or _style_path(str(name)) is not None else _absent(str(name))

    @classmethod
    def fingerprint_inputs(cls, name: str | None, projector: Any = None) -> str:
        """Return what changes when the file does."""
        path = None if name is None else _style_path(name)  # None: the name comes over a link, unknown as yet
        return "" if path is None else f"{path.stat().st_mtime_ns} {path.stat().st_size}"

    @classmethod
    def execute(cls, name: str, projector: Any = None) -> io.NodeOutput:
        """Return the style and its thumbnail."""
        from .graph.style_format import read_style  # not above: the readers are slow to import

        path = _style_path(name)
        if path is None:
            raise UserError(_absent(name))
        style, thumbnail = read_style(path)
        if projector is not None and style.projector is not None and style.projector != fingerprint(projector):
            raise UserError(
                f"{path.name} was made with another projector ({style.projector} instead of {fingerprint(projector)}), "
                "expected one made with the projector that is connected: load the projector that the style was made "
                "with, or make the style again from its picture."
            )
        return io.NodeOutput(style, image_from_pil(thumbnail))


def _style_path(name: str) -> Path | None:
    """Return the file of a style, None where there is none.

    Graphs come from other systems, whose folders are parted by the other slash, and from people who type a name.
    """
    slashed = name.replace("\\", "/")
    for choice in (name, slashed, f"{slashed}{ENDING}"):
        if path := folder_paths.get_full_path(FOLDER, choice):
            return Path(path)
    return None


def _absent(name: str) -> str:
    return (
        f"{quoted(name)} is not in models/{FOLDER}, expected one of the {len(style_names())} styles there: choose "
        "another, or put the file there."
    )
