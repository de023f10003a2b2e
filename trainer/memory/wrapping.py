"""Wrappers around a module's forward, nested in one fixed order whatever order they were asked for in."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from torch import nn

__all__ = ["wrap_forward"]

Wrapper = Callable[..., Any]
"""Takes the forward that it wraps, then the inputs."""

_FROM_INSIDE = ("swap", "checkpoint")
"""A block's weights are brought in each time that it computes, so also when the backward pass computes it again."""

_WRAPPERS = "_forward_wrappers"


def wrap_forward(module: nn.Module, kind: Literal["swap", "checkpoint"], wrapper: Wrapper) -> None:
    """Let `wrapper` run in the place of a module's forward; a second one of a kind replaces the first.

    Args:
        module: whose class defines `forward`.
        kind: decides which wrapper is outside.
        wrapper: called with the forward inside it and the inputs.
    """
    wrappers: dict[str, Wrapper] = module.__dict__.setdefault(_WRAPPERS, {})
    wrappers[kind] = wrapper
    forward: Any = type(module).forward.__get__(module)
    for name in _FROM_INSIDE:
        if name in wrappers:
            forward = partial(wrappers[name], forward)
    module.forward = forward  # type: ignore[method-assign]
