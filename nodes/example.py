"""The node that gives the bundled example pictures, and the thumbnails that the page shows on it."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from comfy_api.latest import io

from ..mini.example_pictures import Example, example, example_names
from ..uso_model.errors import UserError
from ..uso_model.untrusted import quoted
from .graph.convert import image_from_pil
from .graph.widgets import checked_widgets
from .host import server_routes
from .sockets import schema

__all__ = ["THUMBNAILS", "ExamplePair", "register_thumbnails", "thumbnail"]

THUMBNAILS = "/uso/example"
"""Address on ComfyUI's server, asked with `?name=`."""

DEFAULT = "owl, blueprint"


class ExamplePair(io.ComfyNode):
    """Give a bundled style picture, a bundled subject picture and the subject in words."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node."""
        return schema(
            node_id="USO_Example",
            display_name="USO Example",
            description="Gives a style picture, a subject picture and a prompt that come with this pack, so that a "
            "graph runs before there is a picture of your own. Replace it by Load Image later.",
            search_aliases=["example", "demo picture", "sample image", "test image", "load image", "uso"],
            inputs=[
                io.Combo.Input(
                    "name",
                    options=list(example_names()),
                    default=DEFAULT,
                    tooltip="Which pair: the subject first, then the style. The style picture shows another subject.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="style", tooltip="Style picture for USO Style Reference or USO Encode Style."
                ),
                io.Image.Output(
                    display_name="content", tooltip="Subject picture for USO Subject Reference or USO Encode Content."
                ),
                io.String.Output(display_name="prompt", tooltip="The subject in words, for CLIP Text Encode."),
            ],
        )

    @classmethod
    @checked_widgets
    def execute(cls, name: str) -> io.NodeOutput:
        """Return both pictures and the prompt."""
        found = _read(name)
        return io.NodeOutput(image_from_pil(found.style), image_from_pil(found.content), found.prompt)


def thumbnail(name: str) -> bytes:
    """Return a JPEG of a pair, the style at the left and the subject at the right.

    Raises:
        UserError: for a name that is not in the list.
    """
    from PIL import Image  # not above: ComfyUI asks for it long after its start

    found = _read(name)
    width, height = found.style.size
    both = Image.new("RGB", (2 * width, height))
    both.paste(found.style, (0, 0))
    both.paste(found.content.resize((width, height)), (width, 0))
    file = BytesIO()
    both.save(file, "JPEG", quality=90)
    return file.getvalue()


def register_thumbnails() -> None:
    """Let ComfyUI's server answer with a thumbnail; without a server, as in a script, nothing is registered."""
    routes = server_routes()
    if routes is None:
        return

    @routes.get(THUMBNAILS)
    async def answer(request: Any) -> Any:
        from aiohttp import web  # not above: only ComfyUI has it

        try:
            body = thumbnail(request.query.get("name", ""))
        except UserError as error:
            return web.Response(status=404, text=str(error))
        return web.Response(body=body, content_type="image/jpeg", headers={"Cache-Control": "no-cache"})


def _read(name: str) -> Example:
    names = example_names()
    if name not in names:
        raise UserError(
            f"Got no example with the name {quoted(name)}, expected one of {', '.join(names)}: choose another."
        )
    return example(names[name])
