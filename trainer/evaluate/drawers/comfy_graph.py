"""Which inputs of a graph take what a bench draws, found by titles, classes and names of inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ....uso_model.errors import UserError
from ....uso_model.untrusted import named, quoted
from ...comfy.graph import INPUTS, PREVIEW, SAVE, BoundGraph, Nodes, Place, is_link, title_of
from ..bench import TASKS, Task

__all__ = ["NAMES", "bind", "graph_files"]

OUTPUT = "output"
NAMES = (*INPUTS, OUTPUT)
_WORDS = {"style": ("style",), "content": ("content", "subject")}
"""Words in the title of a node that loads a picture."""
_JOINT = ("joint_kept", "joint_shifted")


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
        output = _titled(nodes, OUTPUT) or [id_ for id_, node in nodes.items() if node["class_type"] == SAVE]
        output = output or [id_ for id_, node in nodes.items() if node["class_type"] == PREVIEW]
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
        title = quoted(title_of(nodes[style.node]))
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

    titled = fits(lambda node: title_of(node).casefold() == name)
    if titled:
        return titled[0] if len(titled) == 1 else None
    if name in _WORDS:
        loads = fits(lambda node: "LoadImage" in node["class_type"])
        named_so = [p for p in loads if any(word in title_of(nodes[p.node]).casefold() for word in _WORDS[name])]
        return named_so[0] if len(named_so) == 1 else None
    free = [p for p in fits(lambda node: True) if p.input != "value" and not is_link(nodes[p.node]["inputs"][p.input])]
    if name == "prompt" and len(free) > 1:
        free = [place for place in free if "positive" in title_of(nodes[place.node]).casefold()]
    if name in ("width", "height"):
        free = [place for place in free if "latent" in nodes[place.node]["class_type"].casefold()]
    return free[0] if len(free) == 1 else None


def _titled(nodes: Nodes, title: str) -> list[str]:
    return [id_ for id_, node in nodes.items() if title_of(node).casefold() == title.casefold()]


def _hint(nodes: Nodes, name: str) -> str:
    titles = ", ".join(dict.fromkeys(title_of(node) for node in nodes.values()))
    return f"give a node the title {name}, or name it with --bind {name}=TITLE; titles are {titles[:300]}"
