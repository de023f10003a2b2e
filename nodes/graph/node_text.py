"""Text under a node in the page that asked for the run."""

from __future__ import annotations

from comfy_execution.utils import get_executing_context

__all__ = ["show_on_node"]

_SHOWN: set[tuple[str, str]] = set()
"""Client and node of each text that is shown: the page itself keeps a text until the next one."""
_NOTHING = " "
"""What takes a text back: the page ignores an empty one."""


def show_on_node(text: str) -> None:
    """Show a text on the node that runs, or take an earlier one back where there is none to show.

    Where no server runs the node, nothing happens.
    """
    running = get_executing_context()
    if running is None:
        return
    from server import PromptServer  # not above: outside of a server it would have to be imported first

    server = getattr(PromptServer, "instance", None)
    if server is None:
        return
    place = (str(server.client_id), running.node_id)
    if text or place in _SHOWN:
        (_SHOWN.add if text else _SHOWN.discard)(place)
        # Only to the client that asked: the node of this number may be another one in somebody else's page.
        server.send_progress_text(text or _NOTHING, running.node_id, server.client_id)
