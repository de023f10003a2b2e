"""The pages of `docs/` on ComfyUI's server, so that help pages can lead there without the internet."""

from __future__ import annotations

import html
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

from .host import server_routes

__all__ = ["PAGES", "page", "register_pages"]

PAGES = "/uso/"
"""Address on ComfyUI's server, before a file's place in the pack: links between the files work as they stand."""

_ROOT = Path(__file__).resolve().parents[1]
_FOLDERS = ("docs", "web", "mini")
_PICTURES = {".jpg": "image/jpeg", ".png": "image/png"}
_STYLE = """
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.6 system-ui, sans-serif }
:root { color-scheme: light dark }
table { border-collapse: collapse }
td, th { border: 1px solid #8888; padding: .3rem .6rem; vertical-align: top; text-align: left }
code, pre { background: #8882; border-radius: .3rem; padding: .1rem .3rem }
pre { overflow: auto }
img { max-width: 100% }
"""


_COMMENT = re.compile(r"^<!--.*?-->$", re.MULTILINE)


def page(place: str) -> tuple[bytes, str] | None:
    """Return a file of the documentation and its type, Markdown as HTML; None for what is no part of it."""
    try:
        file = (_ROOT / place).resolve()
        if not file.is_relative_to(_ROOT) or not file.is_file():
            return None
    except (OSError, ValueError):  # no file can have such a name
        return None
    parts = file.relative_to(_ROOT).parts
    if parts[0] not in _FOLDERS and parts != ("README.md",):
        return None
    if file.suffix in _PICTURES:
        return file.read_bytes(), _PICTURES[file.suffix]
    if file.suffix != ".md":
        return None
    text = file.read_text(encoding="utf-8")
    title = html.escape(text.partition("\n")[0].strip("# "))
    head = f'<meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
    return f"<!doctype html>{head}<body>{_rendered(text)}</body>".encode(), "text/html"


def register_pages() -> None:
    """Let ComfyUI's server answer with the documentation; without a server, as in a script, nothing is registered."""
    routes = server_routes()
    if routes is None:
        return

    @routes.get(PAGES + "{place:.+\\.(?:md|jpg|png)}")
    async def answer(request: Any) -> Any:
        from aiohttp import web  # not above: only ComfyUI has it

        found = page(request.match_info["place"])
        if found is None:
            return web.Response(status=404, text="No such page in this version of the pack.")
        body, kind = found
        return web.Response(body=body, content_type=kind, charset="utf-8" if kind == "text/html" else None)


def _rendered(text: str) -> str:
    """Return Markdown as HTML, or as it stands where the library for it is not installed."""
    try:
        from markdown_it import MarkdownIt  # not above: only readers of a page need it
    except ImportError:
        return f"<pre>{html.escape(text)}</pre>"
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = reader.parse(_COMMENT.sub("", text))
    for token, title in pairwise(tokens):
        if token.type == "heading_open":
            token.attrSet("id", _anchor(title.content))
    return str(reader.renderer.render(tokens, reader.options, {}))


def _anchor(heading: str) -> str:
    """Return what a link to a heading ends with, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
