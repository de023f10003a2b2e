"""Rows with pictures, and the step `vlm` on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from comfyui_uso.trainer.curate.judging.vlm import JudgeByVlm
from comfyui_uso.trainer.curate.judging.vlm_endpoint import Endpoint
from comfyui_uso.trainer.curate.ledger import Entry
from comfyui_uso.trainer.curate.pictures import Pictures
from comfyui_uso.trainer.curate.recipe import VlmSettings
from comfyui_uso.trainer.curate.run.worker import do
from comfyui_uso.trainer.curate.steps import CONTENT, STYLE, TARGET, Row, Task, step_id
from PIL import Image

KEY = "sk-test-0123456789abcdef"
DRAWN = (STYLE, CONTENT)


def settings_of(address: str, **settings: Any) -> VlmSettings:
    """Return settings that wait for little."""
    return VlmSettings(
        **{"model": "judge", "endpoint": address, "key_env": "JUDGE_KEY", "timeout": 10, "patience": 0.3, **settings}
    )


def judge_of(address: str, pause: float = 0.001, **settings: Any) -> JudgeByVlm:
    """Return the step."""
    told = settings_of(address, **settings)
    return JudgeByVlm(told, Endpoint(told, {"JUDGE_KEY": KEY}), DRAWN, pause)


def judged(step: JudgeByVlm, run: Path, number: int, attempt: int = 0) -> Entry:
    """Return the entry of one row."""
    pictures = Pictures(run)
    row = Row(Row.id_of(f"{number}.png", "preserved", 0), f"{number}.png", "1", "preserved")
    inputs = {}
    for place, name in enumerate((TARGET, STYLE, CONTENT)):
        stored = pictures.add(Image.new("RGB", (32, 32), (number, 80 * place, 7)))
        inputs[name] = Entry(row.id, name, f"{row.id}{name}", 0, "done", 1.0, pictures={name: stored})
    task = Task(row, step.plan, step_id(step.plan, row, inputs, attempt), attempt, inputs)
    return do(step, task, pictures)
