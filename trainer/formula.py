"""Arithmetic written as text, evaluated on tensors without `eval`."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch

from ..uso_model.errors import UserError

__all__ = ["parse_formula"]

_OPERATORS: dict[type, Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.USub: operator.neg,
}
_FUNCTIONS = {"sin": torch.sin, "cos": torch.cos}


def parse_formula(text: str) -> Callable[[Mapping[str, Any]], Any]:
    """Return the function of named values that a formula such as `2*sin(0.5*n + d)` describes.

    Raises:
        UserError: for anything but numbers, names, `+ - * /`, `sin` and `cos`; unknown names raise on the
            call.
    """
    try:
        tree = ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise UserError(f"{text!r} is no formula ({error.msg}); write arithmetic with sin and cos.") from error

    def value(node: ast.AST, names: Mapping[str, Any]) -> Any:
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            return node.value
        if isinstance(node, ast.Name) and node.id in names:
            return names[node.id]
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            return _OPERATORS[type(node.op)](value(node.left, names), value(node.right, names))
        if isinstance(node, ast.UnaryOp) and type(node.op) in _OPERATORS:
            return _OPERATORS[type(node.op)](value(node.operand, names))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS:
            return _FUNCTIONS[node.func.id](*(value(argument, names) for argument in node.args))
        raise UserError(f"{text!r} holds more than arithmetic with sin and cos of {sorted(names)}; write it anew.")

    return lambda names: value(tree, names)
