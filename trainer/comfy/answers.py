"""What a ComfyUI server's answers say: outputs of a graph, or what went wrong."""

from __future__ import annotations

from typing import Any

from ...uso_model.errors import UserError
from ...uso_model.untrusted import quoted
from ..out_of_memory import tells_of_memory
from .graph import Nodes, title_of

__all__ = [
    "AGAIN",
    "Interrupted",
    "Lost",
    "NodeFailed",
    "Refused",
    "Unanswered",
    "outputs_of",
    "pictures_of",
    "refusal",
]

AGAIN = "run the same command again, it goes on where it stopped"
_MOST = 3
"""Errors that one sentence names."""


class Unanswered(UserError):
    """The server is not there, or says that it cannot answer now."""


class Lost(UserError):
    """The server knows nothing of what it was asked for, or has no whole picture of what it has drawn."""


class Refused(UserError):
    """The server does not take the graph: a node or a model is missing, or an input is wrong."""


class Interrupted(UserError):
    """Somebody stopped the graph on the server."""


class NodeFailed(UserError):
    """A node raised."""

    def __init__(self, text: str, memory: bool):
        """Take the sentence, and whether it was memory that was too small."""
        super().__init__(text)
        self.memory = memory


def refusal(answer: dict[str, Any], graph: Nodes) -> str:
    """Return the reasons of a refused graph, with the nodes, in a part of a sentence."""
    found = []
    errors = answer.get("node_errors")
    for node, told in (errors if isinstance(errors, dict) else {}).items():
        for one in told.get("errors", []) if isinstance(told, dict) else []:
            found.append(f"{_named(graph, node)}: {_told(one)}")
    error = answer.get("error")
    if not found and isinstance(error, dict):
        about = error.get("extra_info")
        node = about.get("node_id") if isinstance(about, dict) else None
        found = [f"{_named(graph, str(node))}: {_told(error)}" if node is not None else _told(error)]
    more = f", and {len(found) - _MOST} more" if len(found) > _MOST else ""
    return ("; ".join(found[:_MOST]) or quoted(error or answer)) + more


def _told(error: Any) -> str:
    if not isinstance(error, dict):
        return quoted(error)
    message, details = (quoted(error.get(name) or "") for name in ("message", "details"))
    return f"{message} {details}".strip()


def _named(graph: Nodes, node: str) -> str:
    """Return a node's class, and its title where it has one of its own."""
    if node not in graph:
        return f"node {quoted(node)}"
    kind, title = graph[node]["class_type"], title_of(graph[node])
    return quoted(kind) if title == kind else f"{quoted(kind)} ({quoted(title)})"


def outputs_of(entry: dict[str, Any], graph: Nodes, server: str) -> dict[str, Any]:
    """Return the outputs of a graph that ended well.

    Args:
        entry: of the server's history.
        graph: that was run.
        server: as messages name it.

    Raises:
        NodeFailed: a node raised.
        Interrupted: somebody stopped it.
    """
    status = entry.get("status")
    status = status if isinstance(status, dict) else {}
    for message in status.get("messages") or []:
        kind, event = message if isinstance(message, list) and len(message) == 2 else (None, None)
        if kind == "execution_error" and isinstance(event, dict):
            node = str(event.get("node_id"))
            name = _named(graph, node) if node in graph else quoted(event.get("node_type"))
            why = str(event.get("exception_message")).strip()
            raise NodeFailed(
                f"{server} could not draw ({name}: {quoted(why)}); mend the graph or the server, and {AGAIN}",
                tells_of_memory(f"{event.get('exception_type')} {why}"),
            )
        if kind == "execution_interrupted":
            raise Interrupted(f"the graph was interrupted on {server}; {AGAIN}")
    outputs = entry.get("outputs")
    return outputs if isinstance(outputs, dict) else {}


def pictures_of(outputs: dict[str, Any], node: str) -> list[dict[str, Any]]:
    """Return what a node has written, as `Server.picture` takes it; what is no list of pictures counts as none."""
    given = outputs.get(node)
    images = given.get("images") if isinstance(given, dict) else None
    return images if isinstance(images, list) and all(isinstance(one, dict) for one in images) else []
