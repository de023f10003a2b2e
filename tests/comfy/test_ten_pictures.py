"""The ten pictures of docs/curation.md, followed to the letter: curated, chosen, trained on, drawn with in ComfyUI."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from comfyui_uso.mini.world import sample_scene, sample_style
from comfyui_uso.mini.world.render import render_style
from comfyui_uso.mini.world.styles import TRAINING_STYLES
from comfyui_uso.trainer.data.manifest import read_manifest
from PIL import Image

from .server import ComfyServer
from .test_evening import commands, drawn, start, steps

pytestmark = pytest.mark.long

PAGE = Path(__file__).parents[2] / "docs/curation.md"


def write_pictures(folder: Path) -> None:
    """Write ten stylised pictures and what they show."""
    folder.mkdir()
    rng = np.random.default_rng(3)
    for number in range(10):
        scene = sample_scene(rng)
        picture = render_style(scene, sample_style(rng, TRAINING_STYLES[3 * number]))
        Image.fromarray(picture).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(scene.caption(), encoding="utf-8")


def test_from_ten_pictures_to_a_lora(comfy: ComfyServer, tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures")
    (tmp_path / "ComfyUI").symlink_to(comfy.base, target_is_directory=True)
    log = tmp_path / "log"
    for line, _ in commands(PAGE, "ten pictures"):
        code = start(line, tmp_path, log).wait(timeout=900)
        assert code == 0, f"{line}\n{log.read_text(encoding='utf-8')[-3000:]}"
    told = log.read_text(encoding="utf-8")
    rows = read_manifest(tmp_path / "curated/manifest.jsonl", split=None)
    assert 5 <= len(rows) <= 20 and f"{len(rows)}  of 20 accepted" in told and "0 problems" in told
    assert {row.layout for row in rows} == {"preserved", "shifted"}
    assert all(bool(row.prompt) == (row.layout == "shifted") for row in rows)
    assert steps(tmp_path / "runs/curated")[-1] == 40

    (lora,) = (comfy.base / "models/loras").glob("curated-0000040*")
    (projector,) = (comfy.base / "models/model_patches").glob("curated-0000040*")
    before = len(comfy.log.read_text(errors="replace"))
    picture = comfy.upload("stylised.png", (tmp_path / "pictures/0.png").read_bytes())
    bundled, own = drawn(comfy, picture), drawn(comfy, picture, lora=lora.name, projector=projector.name)
    assert "lora key not loaded" not in comfy.log.read_text(errors="replace")[before:]
    assert own.isfinite().all() and (own - bundled).abs().max() > 0.01 and own.std() < 3 * bundled.std()
