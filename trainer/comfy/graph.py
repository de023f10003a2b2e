"""Graphs of ComfyUI in API format: read, and filled where it is known what goes where."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ...uso_model.errors import UserError
from ...uso_model.untrusted import named, parse_json, read_text

__all__ = ["INPUTS", "PREVIEW", "SAVE", "BoundGraph", "Nodes", "Place", "is_link", "read_graph", "title_of"]

Nodes = dict[str, dict[str, Any]]
"""Id to `class_type`, `inputs` and `_meta`."""

INPUTS: dict[str, tuple[str, ...]] = {
    "prompt": ("text", "prompt", "value", "string"),
    "style": ("image",),
    "content": ("image",),
    "seed": ("seed", "noise_seed", "value"),
    "width": ("width", "value"),
    "height": ("height", "value"),
    "steps": ("steps", "value"),
    "guidance": ("guidance", "value"),
}
"""What is filled in, and the inputs of a node that may take it, the likeliest first."""
SAVE, PREVIEW = "SaveImage", "PreviewImage"
_EXPORT = "save it with File > Export (API)"


class Place(NamedTuple):
    """An input of a node."""

    node: str
    input: str


class BoundGraph(NamedTuple):
    """A graph of which it is known where everything goes."""

    nodes: Nodes
    places: Mapping[str, Place]
    output: str

    def filled(self, values: Mapping[str, Any]) -> Nodes:
        """Return the graph with these values; a picture that is None is muted: its node and its links are gone."""
        nodes = copy.deepcopy(self.nodes)
        for name, value in values.items():
            place = self.places.get(name)
            if place is None:
                continue
            if value is None:
                _mute(nodes, place.node)
            else:
                nodes[place.node]["inputs"][place.input] = value
        if nodes[self.output]["class_type"] == SAVE:  # thousands of files would pile up on the server
            images = nodes[self.output]["inputs"].get("images")
            nodes[self.output] = {**nodes[self.output], "class_type": PREVIEW, "inputs": {"images": images}}
        return nodes

    def digest(self) -> str:
        """Return a short hash of the graph and of where things go."""
        places = {name: list(place) for name, place in self.places.items()}
        text = json.dumps([self.nodes, places, self.output], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def described(self) -> dict[str, Any]:
        """Return its hash and where things go, as JSON can hold it."""
        binds = {name: f"{place.node}.{place.input}" for name, place in self.places.items()}
        return {"hash": self.digest(), "binds": binds, "output": self.output}


def read_graph(path: Path) -> Nodes:
    """Return the nodes of a graph in API format.

    Raises:
        UserError: the file holds none.
    """
    value = parse_json(read_text(path, "name a graph in API format"), named(path))
    if isinstance(value, dict) and isinstance(value.get("nodes"), list):
        raise UserError(f"{named(path)} is a workflow as the page keeps it, expected the API format; {_EXPORT}")
    if not isinstance(value, dict) or not value or not all(_is_node(node) for node in value.values()):
        raise UserError(f"{named(path)} is no graph of ComfyUI in API format; {_EXPORT}")
    return value


def _is_node(node: Any) -> bool:
    return isinstance(node, dict) and isinstance(node.get("class_type"), str) and isinstance(node.get("inputs"), dict)


def title_of(node: dict[str, Any]) -> str:
    """Return the title that a node has on the page."""
    meta = node.get("_meta")
    title = meta.get("title") if isinstance(meta, dict) else None
    return title if isinstance(title, str) else node["class_type"]


def is_link(value: Any) -> bool:
    """Whether the value of an input comes from another node."""
    return isinstance(value, list)


def _mute(nodes: Nodes, muted: str) -> None:
    """Take a node out as the page does: what it led to has an input less."""
    nodes.pop(muted, None)
    for node in nodes.values():
        inputs = node["inputs"]
        node["inputs"] = {name: v for name, v in inputs.items() if not (is_link(v) and v and str(v[0]) == muted)}
