"""Text on a node: to whoever asked for the run, taken back when there is nothing more to say."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
from comfy_execution.utils import CurrentNodeContext
from comfyui_uso.nodes.graph import node_text


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Put a server in place, and return what it sends."""
    calls: list[Any] = []
    server = SimpleNamespace(client_id="me", send_progress_text=lambda *call: calls.append(call))
    module = SimpleNamespace(PromptServer=SimpleNamespace(instance=server))
    monkeypatch.setitem(sys.modules, "server", module)
    monkeypatch.setattr(node_text, "_SHOWN", set())
    return calls


def test_a_text_is_shown_and_taken_back(sent: list[Any]) -> None:
    with CurrentNodeContext("prompt", "7"):
        for text in ("", "large", "larger", "", ""):
            node_text.show_on_node(text)
    with CurrentNodeContext("prompt", "8"):
        node_text.show_on_node("")
    assert sent == [("large", "7", "me"), ("larger", "7", "me"), (" ", "7", "me")]


def test_without_a_server_nothing_happens(sent: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    node_text.show_on_node("no node runs")
    monkeypatch.setattr(sys.modules["server"], "PromptServer", SimpleNamespace())
    with CurrentNodeContext("prompt", "7"):
        node_text.show_on_node("no server")
    assert sent == []
