"""USO Score where only ComfyUI's own requirements are installed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from .conftest import COMFY

PROBE = """
import sys
sys.path.insert(0, sys.argv[1])
sys.modules.update({name: None for name in sys.argv[2].split(",")})
sys.argv = ["comfyui", "--cpu"]
import comfy.options
comfy.options.enable_args_parsing()
import comfy.sd, torch
import comfyui_uso.uso_model.judging
from comfyui_uso.nodes.score import Score
from comfyui_uso.mini.example_pictures import example
from comfyui_uso.nodes.graph.convert import image_from_pil
picture = image_from_pil(example("1").style)
with torch.inference_mode():
    print(Score.execute([picture], [picture], [picture]).result[3])
"""


ABSENT = ("accelerate", "peft", "open_clip", "torchmetrics", "diffusers", "matplotlib", "tensorboard")
"""What only training, evaluation and tests need, and the trainer itself."""


@pytest.mark.long
def test_it_runs_without_what_only_training_needs() -> None:
    command = [sys.executable, "-c", PROBE, str(COMFY), ",".join((*ABSENT, "comfyui_uso.trainer"))]
    env = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert "style: USO-mini's style judge" in done.stdout
