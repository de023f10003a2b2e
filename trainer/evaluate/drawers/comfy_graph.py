"""Graphs of ComfyUI in API format, and which of their inputs take what is drawn."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ....uso_model.errors import UserError
from ....uso_model.untrusted import named, parse_json, quoted, read_text
from ..bench import TASKS, Task

__all__ = ["NAMES", "BoundGraph", "Place", "bind", "graph_files", "read_graph"]

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
"""What is bound, and the inputs of a node that may take it, the likeliest first."""
OUTPUT = "output"
NAMES = (*INPUTS, OUTPUT)
_WORDS = {"style": ("style",), "content": ("content", "subject")}
"""Words in the title of a node that loads a picture."""
_JOINT = ("joint_kept", "joint_shifted")
_SAVE, _PREVIEW = "SaveImage", "PreviewImage"
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
        if nodes[self.output]["class_type"] == _SAVE:  # thousands of files would pile up on the server
            images = nodes[self.output]["inputs"].get("images")
            nodes[self.output] = {**nodes[self.output], "class_type": _PREVIEW, "inputs": {"images": images}}
        return nodes

    def digest(self) -> str:
        """Return a short hash of the graph and of where things go."""
        places = {name: list(place) for name, place in self.places.items()}
        text = json.dumps([self.nodes, places, self.output], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def graph_files(texts: Sequence[str], tasks: Sequence[Task]) -> dict[Task, Path]:
    """Return the file of each task's graph, of texts such as `a.json` and `subject=b.json`.

    Raises:
        UserError: a task has none.
    """
    found: dict[Task, Path] = {}
    for text in texts:
        head, separator, file = text.partition("=")
        own = [task for task in TASKS if separator and head == task]
        for task in own or TASKS:
            if own or task not in found:
                found[task] = Path(file if own else text)
    absent = [task for task in tasks if task not in found]
    if absent:
        raise UserError(
            f"there is no graph for the task {absent[0]}: name one for all with --graph FILE, or --graph "
            f"{absent[0]}=FILE"
        )
    return {task: found[task] for task in tasks}


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


def bind(nodes: Nodes, texts: Sequence[str], task: Task, file: Path) -> BoundGraph:
    """Return a graph with the places of what a task needs.

    Args:
        nodes: of the graph.
        texts: `NAME=TITLE[:INPUT]`, which win over what is found by title, class and inputs.
        task: that the graph draws.
        file: for messages.

    Raises:
        UserError: a title is not there or stands twice, a node lacks the input, or nothing is found for what is needed.
    """
    asked: dict[str, str] = {}
    for text in texts:
        name, separator, title = text.partition("=")
        if not separator or name not in NAMES or not title:
            raise UserError(f"got --bind {quoted(text)}, expected NAME=TITLE[:INPUT] with one of {', '.join(NAMES)}")
        asked[name] = title
    places: dict[str, Place] = {}
    for name in INPUTS:
        place = _asked(nodes, name, asked[name], file) if name in asked else _found(nodes, name)
        if place is not None:
            places[name] = place
    _part_pictures(nodes, places, asked, file)
    needed = ["prompt", "seed"]
    needed += ["style"] if task in ("style", *_JOINT) else []
    needed += ["content"] if task in ("subject", *_JOINT) else []
    for name in needed:
        if name not in places:
            raise UserError(f"{named(file)} has no node for {name}: {_hint(nodes, name)}")
    if OUTPUT in asked:
        output = _titled(nodes, asked[OUTPUT])
    else:
        output = _titled(nodes, OUTPUT) or [id_ for id_, node in nodes.items() if node["class_type"] == _SAVE]
        output = output or [id_ for id_, node in nodes.items() if node["class_type"] == _PREVIEW]
    if len(output) != 1:
        raise UserError(f"{named(file)} has {len(output)} nodes that may give the picture: {_hint(nodes, OUTPUT)}")
    return BoundGraph(nodes, places, output[0])


def _part_pictures(nodes: Nodes, places: dict[str, Place], asked: Mapping[str, str], file: Path) -> None:
    """Make sure that style and content do not enter one node; where one of them was named, the node is its own.

    Raises:
        UserError: they do.
    """
    style, content = places.get("style"), places.get("content")
    if style is None or content is None or style.node != content.node:
        return
    guessed = [name for name in ("style", "content") if name not in asked]
    if len(guessed) != 1:
        title = quoted(_title(nodes[style.node]))
        raise UserError(f"{named(file)} has the node {title} for both style and content: {_hint(nodes, 'style')}")
    del places[guessed[0]]


def _asked(nodes: Nodes, name: str, text: str, file: Path) -> Place:
    """Return the place that `TITLE[:INPUT]` names."""
    title, input_ = text, ""
    if not _titled(nodes, text) and ":" in text:
        title, _, input_ = text.rpartition(":")
    found = _titled(nodes, title)
    if len(found) != 1:
        number = "no node" if not found else f"{len(found)} nodes"
        raise UserError(f"{named(file)} has {number} with the title {quoted(title)}: {_hint(nodes, name)}")
    there = nodes[found[0]]["inputs"]
    fits = [one for one in INPUTS[name] if one in there] if not input_ else [input_] if input_ in there else []
    if not fits:
        have = ", ".join(map(str, there)) or "none"
        raise UserError(f"node {quoted(title)} of {named(file)} has no input for {name}; it has {quoted(have)}")
    return Place(found[0], fits[0])


def _found(nodes: Nodes, name: str) -> Place | None:
    """Return the only place that fits a name: by title, else by class and inputs."""

    def fits(chosen: Callable[[dict[str, Any]], bool]) -> list[Place]:
        found = []
        for id_, node in nodes.items():
            own = [one for one in INPUTS[name] if one in node["inputs"]]
            if own and chosen(node):
                found.append(Place(id_, own[0]))
        return found

    titled = fits(lambda node: _title(node).casefold() == name)
    if titled:
        return titled[0] if len(titled) == 1 else None
    if name in _WORDS:
        loads = fits(lambda node: "LoadImage" in node["class_type"])
        named_so = [p for p in loads if any(word in _title(nodes[p.node]).casefold() for word in _WORDS[name])]
        return named_so[0] if len(named_so) == 1 else None
    free = [p for p in fits(lambda node: True) if p.input != "value" and not _is_link(nodes[p.node]["inputs"][p.input])]
    if name == "prompt" and len(free) > 1:
        free = [place for place in free if "positive" in _title(nodes[place.node]).casefold()]
    if name in ("width", "height"):
        free = [place for place in free if "latent" in nodes[place.node]["class_type"].casefold()]
    return free[0] if len(free) == 1 else None


def _titled(nodes: Nodes, title: str) -> list[str]:
    return [id_ for id_, node in nodes.items() if _title(node).casefold() == title.casefold()]


def _title(node: dict[str, Any]) -> str:
    meta = node.get("_meta")
    title = meta.get("title") if isinstance(meta, dict) else None
    return title if isinstance(title, str) else node["class_type"]


def _is_link(value: Any) -> bool:
    return isinstance(value, list)


def _hint(nodes: Nodes, name: str) -> str:
    titles = ", ".join(dict.fromkeys(_title(node) for node in nodes.values()))
    return f"give a node the title {name}, or name it with --bind {name}=TITLE; titles are {titles[:300]}"


def _mute(nodes: Nodes, muted: str) -> None:
    """Take a node out as the page does: what it led to has an input less."""
    nodes.pop(muted, None)
    for node in nodes.values():
        inputs = node["inputs"]
        node["inputs"] = {name: v for name, v in inputs.items() if not (_is_link(v) and v and str(v[0]) == muted)}
