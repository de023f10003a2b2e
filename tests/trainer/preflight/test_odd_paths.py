"""Paths that no system takes, and lines that are pasted into a shell."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from comfyui_uso.trainer.preflight import look
from comfyui_uso.trainer.recipe import TrainConfig
from comfyui_uso.uso_model.untrusted import argument


@pytest.mark.parametrize("path", ["a\0b", "x" * 5000, "a/" * 3000])
@pytest.mark.parametrize(
    "name", ["loop__run_dir", "out", "data__cache", "data__manifests", "models__t5", "models__lora"]
)
def test_a_path_that_is_none_is_a_problem(name: str, path: str, flux_recipe: Callable[..., TrainConfig]) -> None:
    problems = look(flux_recipe(**{name: [Path(path)] if name.endswith("manifests") else Path(path)})).problems
    assert len(problems) == 1 and problems[0].startswith(name.replace("__", ".")) and len(problems[0]) < 500


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("runs/a", "runs/a"),
        ("C:\\runs\\a", "C:\\runs\\a"),
        ("my cats", '"my cats"'),
        ("LoRA #2", '"LoRA #2"'),
        ("a;b", '"a;b"'),
        ("a'b", '"a\'b"'),
        ("a&b", '"a&b"'),
    ],
)
def test_a_path_in_a_command_is_quoted_for_every_shell(path: str, text: str) -> None:
    assert argument(path) == text
