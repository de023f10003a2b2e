"""Numbers of widgets: a value that comes by a link is not held to its widget's range by ComfyUI, and NaN never is."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any, TypeVar

from comfy_api.latest import io

from ...uso_model.errors import UserError
from ...uso_model.untrusted import quoted

__all__ = ["number_inputs", "numbers_in_range"]

Execute = TypeVar("Execute", bound=Callable[..., Any])


def numbers_in_range(execute: Execute) -> Execute:
    """Wrap a node's `execute`, under `@classmethod`, so that every number is checked against the node's own schema.

    Raises:
        UserError: when called with a number that is NaN, infinite, or outside the range of its input.
    """
    names = inspect.signature(execute)

    @functools.wraps(execute)
    def checked(cls: Any, *args: Any, **kwargs: Any) -> Any:
        given = names.bind(cls, *args, **kwargs).arguments
        for name, parameter in names.parameters.items():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                given |= given.get(name, {})
        for item in number_inputs(cls):
            if item.id in given:
                _check(item, given[item.id])
        return execute(cls, *args, **kwargs)

    return checked  # type: ignore[return-value]


def number_inputs(node: Any) -> list[Any]:
    """Return the inputs of a node that are numbers."""
    return [item for item in node.define_schema().inputs if isinstance(item, io.Float.Input | io.Int.Input)]


def _check(item: Any, value: Any) -> None:
    low, high = item.min, item.max
    whole = isinstance(item, io.Int.Input)
    kind = int if whole else (int, float)
    fits = isinstance(value, kind) and not isinstance(value, bool) and math.isfinite(value) and low <= value <= high
    if not fits:
        number = "a whole number" if whole else "a number"
        raise UserError(f"Got {item.id} = {quoted(value)}, expected {number} from {low} to {high}: correct it.")
