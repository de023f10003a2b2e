"""Copying: the numbers are those of the arithmetic, on drawings that copy and on some that do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from comfyui_uso.trainer.evaluate.bench import read_bench
from comfyui_uso.trainer.evaluate.find_measures import find_measures
from comfyui_uso.trainer.evaluate.score import score_run
from comfyui_uso.uso_model.errors import UserError
from comfyui_uso.uso_model.images import picture_tensor
from comfyui_uso.uso_model.judging.copying import border_difference, copy_paste, crop_likeness, crops
from comfyui_uso.uso_model.judging.likeness import layout_likeness, style_likeness
from PIL import Image

from .judged import Projection, draw, write_judged_bench


def test_numbers_are_those_of_the_arithmetic(tmp_path: Path):
    bench_folder = write_judged_bench(tmp_path / "bench")
    run = draw(bench_folder, tmp_path / "run")
    bench, rows, _ = read_bench(bench_folder)
    row = next(row for row in rows if row.task == "joint_kept" and row.subject == "dog" and row.style_name == "clay")
    path = run / "pictures" / f"{row.id}_0.png"
    content = Image.open(bench_folder / bench.pictures[row.content].path)
    content.save(path)  # a perfect copy of the subject picture
    judge = Projection("dino", ("subject",))
    measures = find_measures(None, [judge])
    names = [measure.card.name for measure in measures]
    copying = ["copy_paste", "crop_content", "crop_style"]
    assert names == ["dino", *copying, "style_likeness", "layout", "layout_content", "border"]
    scores = [s for s in score_run(bench_folder, run, measures).scores if s.whose == "model"]
    copied = next(s for s in scores if s.row == row.id).values
    style = picture_tensor(Image.open(bench_folder / bench.pictures[row.style].path))
    drawn = picture_tensor(content)
    assert copied["copy_paste"] == pytest.approx(1) and copied["crop_content"] == pytest.approx(1, abs=1e-5)
    assert copied["layout_content"] == pytest.approx(1, abs=1e-5)
    assert copied["layout"] == pytest.approx(layout_likeness(drawn, style).item(), abs=1e-5)
    assert copied["style_likeness"] == pytest.approx(style_likeness(drawn, style).item(), abs=1e-5)
    assert copied["border"] == pytest.approx(border_difference(drawn, style).item(), abs=1e-4)

    def vectors(pixels: torch.Tensor) -> torch.Tensor:
        pictures = [Image.fromarray(((c[0] + 1) * 127.5).round().byte().movedim(0, -1).numpy()) for c in crops(pixels)]
        return judge.embed(torch.stack([judge.prepare(picture) for picture in pictures]))

    assert copied["crop_style"] == pytest.approx(crop_likeness(vectors(drawn), vectors(style)).item(), abs=1e-5)
    other = next(s for s in scores if s.task == "subject" and s.subject == "cat")
    seen = judge.embed(
        torch.stack(
            [
                judge.prepare(Image.open(path))
                for path in (
                    run / "pictures" / f"{other.row}_{other.sample}.png",
                    *(bench_folder / bench.pictures[f"cat-{n}"].path for n in range(3)),
                )
            ]
        )
    )
    expected = np.mean([copy_paste(seen[:1], seen[[n]], seen[1:2]).item() for n in (2, 3)])
    assert other.values["copy_paste"] == pytest.approx(expected, abs=1e-5) and abs(expected) < 1
    assert other.values["layout"] is None and other.values["border"] is None
    assert all(s.values["copy_paste"] is None for s in scores if s.task == "style")


def test_measures_can_be_left_out():
    names = [measure.card.name for measure in find_measures(None, [], without=["border", "layout_content"])]
    assert names == ["style_likeness", "layout"]
    with pytest.raises(UserError, match="no measure csd to leave out; there are style_likeness"):
        find_measures(None, [], without=["csd"])
