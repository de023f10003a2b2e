"""Text under a node in the page that asked for the run."""

from __future__ import annotations

from comfy_execution.utils import get_executing_context

__all__ = ["show_on_node"]


def show_on_node(text: str) -> None:
    """Show a text on the node that runs; where no server runs it, nothing happens."""
    running = get_executing_context()
    if running is None:
        return
    from server import PromptServer  # not above: outside of a server it would have to be imported first

    server = getattr(PromptServer, "instance", None)
    if server is not None:
        # Only to the client that asked: the node of this number may be another one in somebody else's page.
        server.send_progress_text(text, running.node_id, server.client_id)
