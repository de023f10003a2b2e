"""Calls of ComfyUI's functions, with arguments read and changed by name wherever the function has them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["HostCall"]


class HostCall:
    """The arguments of one call of a function that a wrapper stands around."""

    def __init__(
        self,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        named: Sequence[str],
        usual: Callable[..., Any],
    ):
        """Bind a call.

        Args:
            function: that is called in the end.
            args: positional arguments.
            kwargs: keyword arguments.
            named: names that will be asked for.
            usual: a method of ComfyUI's with these names, for a function of another pack that calls them otherwise.
        """
        signature = inspect.signature(function)
        if not set(named) <= set(signature.parameters):
            own = list(inspect.signature(usual).parameters.values())[1:]  # without self
            signature = inspect.Signature(own)
        self._bound = signature.bind(*args, **kwargs)
        self._more = next((p.name for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD), "")

    def get(self, name: str, default: Any = None) -> Any:
        """Return an argument, or the default where the call has none."""
        return self._place(name).get(name, default)

    def set(self, name: str, value: Any) -> None:
        """Set an argument."""
        self._place(name)[name] = value

    def take(self, name: str, default: Any = None) -> Any:
        """Take an argument out of the call and return it, or the default where the call has none."""
        return self._place(name).pop(name, default)

    def pass_on(self, executor: Callable[..., Any]) -> Any:
        """Call the next function with the arguments as they are now."""
        return executor(*self._bound.args, **self._bound.kwargs)

    def _place(self, name: str) -> dict[str, Any]:
        """Return the dict that holds an argument: the named ones, or those that the function takes besides."""
        if name in self._bound.signature.parameters or not self._more:
            return self._bound.arguments
        return self._bound.arguments.setdefault(self._more, {})
