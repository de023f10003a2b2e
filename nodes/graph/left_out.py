"""Inputs that are left out: ComfyUI sends nothing where a node is muted or bypassed, and then the reference is off.

A forgotten wire is no muted node: `web/forgotten.js` sends None for it, which the nodes refuse.
"""

from __future__ import annotations

import logging
from typing import Any

from comfy_execution.graph_utils import ExecutionBlocker

__all__ = ["LEFT_OUT", "NOTHING_TO_SHOW", "is_off", "needed"]

logger = logging.getLogger(__name__)

LEFT_OUT: Any = object()
"""Default of what nobody sends, and what a node that is off sends on."""

NOTHING_TO_SHOW: Any = ExecutionBlocker(None)
"""Output of a picture that is not there: what it goes to does not run."""


def needed(input_type: Any, name: str, tooltip: str) -> Any:
    """Return an input that the page tells us of when nothing is connected, optional so that its node can be muted."""
    return input_type.Input(name, optional=True, extra_dict={"needed": True}, tooltip=tooltip)


def is_off(**inputs: Any) -> bool:
    """Whether one of a node's inputs is left out; if so, say it in the log."""
    absent = [name for name, value in inputs.items() if value is LEFT_OUT]
    if absent:
        logger.warning("A reference is off: what its %s came from is muted or bypassed.", " and ".join(absent))
    return bool(absent)
