"""Values of widgets: one that comes by a link is held to no range or list by ComfyUI, and NaN to none at all."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any, TypeVar

from comfy_api.latest import io

from ...uso_model.errors import UserError
from ...uso_model.untrusted import quoted

__all__ = ["checked_widgets", "widget_inputs"]

Execute = TypeVar("Execute", bound=Callable[..., Any])


def checked_widgets(execute: Execute) -> Execute:
    """Wrap a node's `execute`, under `@classmethod`, so that numbers and choices are checked against its own schema.

    Raises:
        UserError: when called with a number that is NaN, infinite, or outside the range of its input, or with a choice
            that is not in the list.
    """
    names = inspect.signature(execute)

    @functools.wraps(execute)
    def checked(cls: Any, *args: Any, **kwargs: Any) -> Any:
        given = names.bind(cls, *args, **kwargs).arguments
        for name, parameter in names.parameters.items():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                given |= given.get(name, {})
        for item in widget_inputs(cls):
            if item.id in given:
                _check(item, given[item.id])
        return execute(cls, *args, **kwargs)

    return checked  # type: ignore[return-value]


def widget_inputs(node: Any) -> list[Any]:
    """Return the inputs of a node that are numbers or choices."""
    kinds = (io.Float.Input, io.Int.Input, io.Combo.Input)
    return [item for item in node.define_schema().inputs if isinstance(item, kinds)]


def _check(item: Any, value: Any) -> None:
    if isinstance(item, io.Combo.Input):
        if value not in item.options:
            choices = ", ".join(map(str, item.options))
            raise UserError(f"Got {item.id} = {quoted(value)}, expected one of {quoted(choices)}: correct it.")
        return
    low, high = item.min, item.max
    whole = isinstance(item, io.Int.Input)
    kind = int if whole else (int, float)
    fits = isinstance(value, kind) and not isinstance(value, bool) and math.isfinite(value) and low <= value <= high
    if not fits:
        number = "a whole number" if whole else "a number"
        raise UserError(f"Got {item.id} = {quoted(value)}, expected {number} from {low} to {high}: correct it.")
