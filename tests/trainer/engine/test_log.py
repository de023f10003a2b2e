"""The log of a run."""

from __future__ import annotations

import json
from pathlib import Path

from comfyui_uso.trainer.engine.log import LOG, time_spent


def test_the_time_of_an_interrupted_run_adds_up(tmp_path: Path) -> None:
    marks = [10.0, 20.5, None, 5.0, 9.0, 30.0, 2.0]  # two interruptions, and a line without a time
    lines = [{"step": n} | ({} if mark is None else {"seconds": mark}) for n, mark in enumerate(marks)]
    (tmp_path / LOG).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    assert time_spent(tmp_path) == 20.5 + 30.0 + 2.0
