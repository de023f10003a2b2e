"""Every number and choice of every node: what leaves the widget's range or list is refused, also when it is linked."""

from __future__ import annotations

import math
from typing import Any

import pytest
from comfy_api.latest import io
from comfyui_uso.nodes import NODES
from comfyui_uso.nodes.graph.widgets import widget_inputs
from comfyui_uso.uso_model.errors import UserError

FILES = {
    "LoadStyle": {"name"},
    "Score": {"style_judge", "subject_judge", "prompt_judge"},
    "TrainingSetNode": {"folder"},
}
"""Choices of files and folders, whose absence has a sentence of its own."""
WIDGETS = [
    (node, item) for node in NODES for item in widget_inputs(node) if item.id not in FILES.get(node.__name__, set())
]
NUMBERS = [(node, item) for node, item in WIDGETS if not isinstance(item, io.Combo.Input)]
CHOICES = [(node, item) for node, item in WIDGETS if isinstance(item, io.Combo.Input)]
every_number = pytest.mark.parametrize(
    ("node", "item"), NUMBERS, ids=[f"{node.__name__}-{item.id}" for node, item in NUMBERS]
)

every_choice = pytest.mark.parametrize(
    ("node", "item"), CHOICES, ids=[f"{node.__name__}-{item.id}" for node, item in CHOICES]
)


def call(node: Any, name: str, value: Any) -> None:
    """Run a node with one number set and everything else as a new node has it, sockets without meaning."""
    given = {}
    for item in node.define_schema().inputs:
        default = getattr(item, "default", None)
        options = getattr(item, "options", None) or [object()]
        given[item.id] = options[0] if default is None else default
    node.execute(**{**given, name: value})


def test_there_are_numbers_to_check() -> None:
    assert len(NUMBERS) > 25 and len(CHOICES) > 10
    assert {node.__name__ for node, _ in NUMBERS} >= {"Apply", "Sampler", "Scheduler", "EncodeContent", "MixStyles"}


@every_number
def test_what_is_no_number_in_range_is_refused(node: Any, item: Any) -> None:
    wrong = [math.nan, math.inf, -math.inf, item.min - 1, item.max + 1, "1", None, True]
    for value in wrong:
        with pytest.raises(UserError, match=rf"\AGot {item.id} = [^\n]* from [^\n]*: correct it\.\Z"):
            call(node, item.id, value)


@every_number
def test_both_ends_of_the_range_are_let_through(node: Any, item: Any) -> None:
    for value in (item.min, item.max):
        try:
            call(node, item.id, value)
        except Exception as error:
            assert "correct it" not in str(error) or "expected a" not in str(error), error


@every_choice
def test_what_is_not_in_the_list_is_refused(node: Any, item: Any) -> None:
    for value in ("no such choice", "", None, 5, "x" * 9999):
        with pytest.raises(
            UserError, match=rf"\AGot {item.id} = [^\n]* expected one of [^\n]*: correct it\.\Z"
        ) as caught:
            call(node, item.id, value)
        assert len(str(caught.value)) < 300


def test_whole_numbers_have_no_fraction() -> None:
    node = next(node for node in NODES if node.__name__ == "Sampler")
    with pytest.raises(UserError, match=r"steps = 2\.5, expected a whole number"):
        call(node, "steps", 2.5)
