"""A folder of pictures goes through the steps once, and a second start has nothing to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from comfyui_uso.trainer.curate.build import build_steps
from comfyui_uso.trainer.curate.ledger import Ledger
from comfyui_uso.trainer.curate.recipe import CurateConfig, ExpertSettings
from comfyui_uso.trainer.curate.rows import rows_of
from comfyui_uso.trainer.curate.run.local import run_local
from comfyui_uso.trainer.curate.run_folder import candidates, pipeline_of, read_run, write_run
from comfyui_uso.trainer.curate.sources.open import source_pictures
from comfyui_uso.trainer.curate.steps import Request
from PIL import Image


class Painter:
    """Paints one colour."""

    workers = 1
    calls = 0

    def describe(self) -> dict[str, Any]:
        return {"kind": "painter"}

    def __call__(self, request: Request) -> Image.Image:
        Painter.calls += 1
        return Image.new("RGB", (request.width, request.height), (request.seed % 256, 0, 0))


def painter(settings: ExpertSettings) -> Painter:
    return Painter()


def test_goes_through_the_steps_once(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(3):
        Image.new("RGB", (32, 32), (0, number, 0)).save(source / f"{number}.png")
    (source / "bad.png").write_bytes(b"nothing")
    config = CurateConfig.model_validate(
        {
            "source": {"path": str(source)},
            "width": 32,
            "height": 32,
            "experts": {"painter": {"kind": f"{__name__}:painter"}},
            "style": {"expert": "painter"},
            "content_kept": {"expert": "painter"},
            "content_shifted": {"expert": "painter"},
            "reject": {},
        }
    )
    run = tmp_path / "run"
    for _ in range(2):
        pictures = source_pictures(config.source)
        steps = build_steps(config, pictures)
        pipeline = pipeline_of(config, [step.plan for step in steps])
        rows = list(rows_of(pictures.values(), config, ["a cat"]))
        write_run(run, config, pipeline, rows)
        run_local(pipeline, steps, rows, Ledger(run))
        assert Painter.calls == 3 * 2 * 2

    _, again = read_run(run)
    found = list(candidates(again, Ledger(run)))
    assert [one.standing for one in found] == ["complete"] * 6 + ["rejected"] * 2
    assert all(set(one.pictures) == {"target", "style", "content"} for one in found[:6])
