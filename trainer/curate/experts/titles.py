"""Graphs whose nodes say by their titles what goes into them.

`uso:content` and `uso:style` take a picture each, `uso:prompt` a text, `uso:seed` a number; `uso:width` and
`uso:height`, or `uso:size` on a node that has both, take the size; `uso:out` gives the picture.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ....uso_model.errors import UserError
from ....uso_model.untrusted import named, quoted
from ...comfy.graph import INPUTS, BoundGraph, Place, is_link, read_graph, title_of

__all__ = ["SHIPPED", "TitledGraph", "graph_file"]

SHIPPED = Path(__file__).parents[1] / "graphs"
"""Folder of the graphs that come with the package."""
_PREFIX = "uso:"
_OUT, _BOTH, _SIZE = "out", "size", ("width", "height")
_NAMES = ("content", "style", "prompt", "seed", *_SIZE, _BOTH, _OUT)
"""`size` is for a node that has both inputs, such as an empty latent."""
_ALWAYS = ("seed", _OUT)


def graph_file(path: Path) -> Path:
    """Return the file of a graph; a bare name is one of those that come with the package.

    Raises:
        UserError: there is none of that name.
    """
    if path.name != str(path) or path.suffix:
        return path
    found = SHIPPED / f"{path.name}.json"
    if not found.is_file():
        known = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.json")))
        raise UserError(f"there is no graph {quoted(path.name)}; name a file such as my_graph.json, or one of {known}")
    return found


class TitledGraph:
    """A graph in API format and the places that its titles name."""

    def __init__(self, file: Path, settings: Mapping[str, Any] | None = None):
        """Read it.

        Args:
            file: in API format.
            settings: `TITLE.INPUT` to a value that stands in the place of the graph's own, such as a model's file.

        Raises:
            UserError: it is no such file.
        """
        self.file = file
        self._nodes = read_graph(file)
        self._problems: list[str] = []
        self._places: dict[str, Place] = {}
        self._output = ""
        for name, value in (settings or {}).items():
            self._set(name, value)
        self._titled: dict[str, list[str]] = {}
        for id_, node in self._nodes.items():
            if _title(node).startswith(_PREFIX):
                self._titled.setdefault(_title(node).removeprefix(_PREFIX), []).append(id_)
        for name, ids in self._titled.items():
            self._take(name, ids)

    @property
    def sized(self) -> bool:
        """Whether it draws in the size that it is told."""
        return set(_SIZE) <= set(self._places)

    def bound(self, inputs: Collection[str] = ()) -> BoundGraph:
        """Return the graph with the places of what it is given.

        Args:
            inputs: what it must take besides a seed: of `content`, `style`, `prompt`.

        Raises:
            UserError: titles are missing or doubled, or their nodes take no such input; all of them are named.
        """
        missing = [name for name in (*sorted(inputs), *_ALWAYS) if name not in self._titled]
        problems = [*self._problems, *(f"no node has the title {_PREFIX}{name}" for name in missing)]
        if problems:
            raise UserError(
                f"{named(self.file)} does not say where everything goes: {'; '.join(problems)}; set titles on the page "
                "and save it again with File > Export (API)"
            )
        return BoundGraph(self._nodes, self._places, self._output)

    def _take(self, name: str, ids: list[str]) -> None:
        """Remember where what a title names goes, or what is wrong with it."""
        title = quoted(_PREFIX + name)
        if name not in _NAMES:
            known = ", ".join(_PREFIX + one for one in _NAMES)
            self._problems.append(f"the title {title} is none of {known}")
        elif len(ids) > 1:
            self._problems.append(f"{len(ids)} nodes have the title {title}")
        elif name == _OUT:
            self._output = ids[0]
        else:
            for one in _SIZE if name == _BOTH else (name,):
                self._put(one, ids[0], title)

    def _put(self, name: str, node: str, title: str) -> None:
        inputs = self._nodes[node]["inputs"]
        own = [one for one in INPUTS[name] if one in inputs]
        free = [one for one in own if not is_link(inputs[one])]
        if name in self._places:
            self._problems.append(f"two nodes set the {name}")
        elif free:
            self._places[name] = Place(node, free[0])
        elif own:
            self._problems.append(f"{own[0]} of the node {title} comes from another node")
        else:
            kind = quoted(self._nodes[node]["class_type"])
            self._problems.append(f"the node {title} ({kind}) has no input {' or '.join(INPUTS[name])}")

    def _set(self, name: str, value: Any) -> None:
        title, _, input_ = name.rpartition(".")
        found = [node for node in self._nodes.values() if _title(node) == title.strip().casefold()]
        if len(found) != 1:
            self._problems.append(
                f"settings name {quoted(name)}, but {len(found)} nodes have the title {quoted(title)}"
            )
        elif input_ not in found[0]["inputs"] or is_link(found[0]["inputs"][input_]):
            own = ", ".join(key for key, given in found[0]["inputs"].items() if not is_link(given)) or "none"
            self._problems.append(f"settings name {quoted(name)}, but the inputs of {quoted(title)} are {quoted(own)}")
        elif not isinstance(value, str | int | float):
            self._problems.append(f"settings give {quoted(name)} no text, number or truth value")
        else:
            found[0]["inputs"][input_] = value


def _title(node: dict[str, Any]) -> str:
    return title_of(node).strip().casefold()
