"""The evening of docs/training.md, followed to the letter: from sixteen photographs to a picture in ComfyUI."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from torch import Tensor

from .photographs import copy_photographs
from .server import ComfyServer, Graph

pytestmark = pytest.mark.long

PAGE = Path(__file__).parents[2] / "docs/training.md"
INTERRUPTED = "Ctrl-C"
"""In the comment of a command: it is to be stopped when some steps are done."""


def commands(page: Path = PAGE, name: str = "evening") -> list[tuple[str, bool]]:
    """Return the lines of a page's block, and whether each is to be interrupted."""
    block = re.search(rf"<!-- {name} -->\n```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    lines = [line.partition("#") for line in block[1].splitlines() if line.strip()]
    return [(line.strip(), INTERRUPTED in comment) for line, _, comment in lines]


def start(line: str, folder: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start a line of the page as a shell would, with the `uso` of this environment."""
    words = re.sub(r"^uso ", f"exec {sys.executable} -m comfyui_uso ", line)
    with log.open("ab") as file:
        return subprocess.Popen(
            ["sh", "-c", words],
            cwd=folder,
            env=os.environ,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def steps(run: Path) -> list[int]:
    """Return the steps in a run's log."""
    log = run / "log.jsonl"
    lines = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
    return [json.loads(line)["step"] for line in lines if '"loss"' in line]


def test_the_evening(comfy: ComfyServer, tmp_path: Path) -> None:
    """Import, check, plan, train, stop, go on, export, copy; then ComfyUI draws with what was trained."""
    copy_photographs(tmp_path / "photos")
    (tmp_path / "ComfyUI").symlink_to(comfy.base, target_is_directory=True)
    log, run = tmp_path / "evening.log", tmp_path / "runs/photos"
    stopped = 0
    for line, interrupted in commands():
        process = start(line, tmp_path, log)
        if interrupted:
            for _ in range(1200):
                if process.poll() is not None or steps(run):
                    break
                time.sleep(0.1)
            process.send_signal(signal.SIGINT)
        code = process.wait(timeout=600)
        assert code == 0, f"{line}\n{log.read_text(encoding='utf-8')[-3000:]}"
        if interrupted:
            stopped = max(int(path.name.rpartition("-")[2]) for path in run.glob("checkpoint-*"))
    told = log.read_text(encoding="utf-8")
    assert "16 rows" in told and "0 problems" in told
    assert 0 < stopped < 60 and sorted(steps(run)) == steps(run) and steps(run)[-1] == 60
    assert f"stopped after step {stopped} of 60" in told
    assert list((run / "samples").rglob("*.png"))

    (lora,) = (comfy.base / "models/loras").glob("photos-0000060*")
    (projector,) = (comfy.base / "models/model_patches").glob("photos-0000060*")
    before = len(comfy.log.read_text(errors="replace"))
    photo = comfy.upload("photo.png", (tmp_path / "photos/coffee.png").read_bytes())
    bundled = drawn(comfy, photo)
    own = drawn(comfy, photo, lora=lora.name, projector=projector.name)
    assert "lora key not loaded" not in comfy.log.read_text(errors="replace")[before:]
    assert own.isfinite().all() and (own - bundled).abs().max() > 0.05, "the evening's LoRA must matter"


def drawn(comfy: ComfyServer, photo: str, **files: str) -> Tensor:
    """Draw a photograph's style with files of one's own; the picture stays in the server's output folder."""
    graph = Graph()
    loader = graph.add("USO_LoadMini", lora_strength=1.0, **files)
    model, clip, vae, vision, projector = (loader[output] for output in range(5))
    text, empty = (graph.add("CLIPTextEncode", clip=clip, text=words)[0] for words in ("a photograph of a cup", ""))
    styled = graph.add(
        "USO_StyleReference",
        conditioning=text,
        clip_vision=vision,
        projector=projector,
        image=graph.add("LoadImage", image=photo)[0],
        strength=1.0,
    )[0]
    sampled = graph.add(
        "KSampler",
        model=model,
        positive=styled,
        negative=empty,
        latent_image=graph.add("EmptySD3LatentImage", width=128, height=128, batch_size=1)[0],
        seed=11,
        steps=8,
        cfg=3.0,
        sampler_name="euler",
        scheduler="simple",
        denoise=1.0,
    )[0]
    decoded = graph.add("VAEDecode", samples=sampled, vae=vae)[0]
    graph.add("SaveImage", images=decoded, filename_prefix=f"evening/{'own' if files else 'bundled'}")
    saved = graph.add("SaveLatent", samples=sampled, filename_prefix="latents/evening")
    return comfy.run(graph).latent(saved)
