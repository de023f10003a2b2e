"""Turn a workflow as the page saves it into the API format, with the help of /object_info."""

from __future__ import annotations

from typing import Any

__all__ = ["api_format", "unfit"]

_NOTES = ("Note", "MarkdownNote")
_OFF = (2, 4)
"""Modes of muted and bypassed nodes."""

_WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")


def api_format(workflow: dict[str, Any], info: dict[str, Any]) -> dict[str, Any]:
    """Return the nodes of a workflow without subgraphs, muted or bypassed nodes.

    Raises:
        ValueError: for a workflow that uses what this does not convert, or a node that does not exist.
    """
    if workflow.get("definitions", {}).get("subgraphs"):
        raise ValueError("subgraphs are not converted")
    sources = {link[0]: link[1:3] for link in workflow["links"]}
    graph = {}
    for node in workflow["nodes"]:
        if node["type"] in _NOTES:
            continue
        if node["type"] not in info:
            raise ValueError(f"there is no node {node['type']}")
        if node.get("mode") in _OFF:
            raise ValueError(f"{node['type']} is muted or bypassed")
        inputs = _widget_values(info[node["type"]], node.get("widgets_values") or [])
        for entry in node.get("inputs", []):
            if entry.get("link") is not None:
                source, output = sources[entry["link"]]
                inputs[entry["name"]] = [str(source), output]
        graph[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    return graph


def unfit(graph: dict[str, Any], info: dict[str, Any]) -> list[str]:
    """Return what inputs the nodes of a graph lack or have too many."""
    found = []
    for node in graph.values():
        known = info[node["class_type"]]["input"]
        given = {name.partition(".")[0] for name in node["inputs"]}  # inputs that grow are named `inputs.input0`
        wanted = set(known.get("required", {})) - given
        strange = given - {name for group in known.values() for name in group}
        if wanted or strange:
            found.append(f"{node['class_type']}: without {wanted}, with {strange}")
    return found


def _widget_values(node: dict[str, Any], values: list[Any] | dict[str, Any]) -> dict[str, Any]:
    """Give the saved values, a plain list, back to the inputs that have a widget."""
    if isinstance(values, dict):
        return dict(values)
    left, result = list(values), {}
    for group in ("required", "optional"):
        for name in node["input_order"].get(group, []):
            kind, *rest = node["input"][group][name]
            options = rest[0] if rest else {}
            if not (isinstance(kind, list) or kind in _WIDGETS) or options.get("forceInput") or not left:
                continue
            result[name] = left.pop(0)
            # The page adds a widget of its own after a seed, and one after a picture to upload.
            if options.get("control_after_generate", name in ("seed", "noise_seed")) or (
                options.get("image_upload") and left
            ):
                left.pop(0)
    if left:
        raise ValueError(f"{node['name']}: {len(left)} saved values too many ({left})")
    return result
