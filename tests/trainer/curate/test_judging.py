"""Scores of the cheap gate, of the measures without weights and of judges; and which rows go no further."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from comfyui_uso.trainer.curate.judging.likeness import score_name
from comfyui_uso.trainer.curate.judging.look import contrast
from comfyui_uso.trainer.curate.judging.vectors import FOLDER, Vectors, kept_vectors
from comfyui_uso.trainer.curate.ledger import Entry, Journal, Ledger
from comfyui_uso.trainer.curate.pipeline import Pipeline, scores_of
from comfyui_uso.trainer.curate.run_folder import read_run
from comfyui_uso.trainer.curate.steps import Request, Row, StepPlan
from comfyui_uso.uso_model.errors import UserError
from comfyui_uso.uso_model.judging.judge import Card
from PIL import Image, ImageOps
from torch import Tensor

from .judged import blobs, curated


class MeanColour:
    """A judge of mean colours; of black pictures it gives NaN."""

    card = Card("mean-colour", ("style",), "", "1", "", "", (0, 1), "")

    def prepare(self, picture: Image.Image) -> Tensor:
        return torch.from_numpy(np.asarray(picture).mean(axis=(0, 1)))

    def embed(self, prepared: Tensor) -> Tensor:
        return (prepared / prepared.norm(dim=1, keepdim=True)).float()

    def embed_pixels(self, pixels: Tensor) -> Tensor:
        return self.embed(pixels.mean(dim=(2, 3)))


def mean_colour() -> MeanColour:
    return MeanColour()


def other_kind() -> MeanColour:
    judge = MeanColour()
    judge.card = replace(judge.card, sees=("text",))
    return judge


JUDGE = f"{__name__}:mean_colour"
VLM = {"model": "x", "endpoint": "http://127.0.0.1:1/v1"}


def test_scores_are_kept_and_can_be_asked_for(tmp_path: Path) -> None:
    rows = curated(tmp_path / "run", {"a.png": blobs(1)}, judges={JUDGE: None})
    assert [row.standing for row in rows] == ["complete", "complete"]
    scores = rows[0].scores
    assert set(scores) | {"group", "layout"} == scores_of(read_run(tmp_path / "run")[1].plans)
    assert {"phash_style", "layout_content", "strokes_style", "change_content", "mean_colour"} < set(scores)
    assert scores["width_style"] == scores["height_content"] == 32 and scores["contrast_target"] == contrast(blobs(1))
    assert 0 < scores["mean_colour"] <= 1 and 0 < scores["mean_colour_content"] <= 1
    assert len(rows[0].entries["look"].values["phash"]["target"]) == 16


@pytest.mark.parametrize(
    "draw, reason",
    [
        (lambda request: Image.new("RGB", (32, 32)), "the style reference shows nothing"),
        (
            lambda request: Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)),
            "the style reference is noise",
        ),
        (lambda request: Image.new("RGB", (32, 32), (0, 90, 9)), "the style reference shows nothing"),
        (
            lambda request: ImageOps.pad(blobs(9).crop((0, 0, 32, 16)), (32, 32), centering=(0, 0)),
            "the style reference is cut off",
        ),
        (lambda request: request.style or blobs(9), "the style reference is the target"),
        (lambda request: request.content or blobs(9), "the content reference is the target"),
    ],
)
def test_what_shows_nothing_or_copies_goes_no_further(tmp_path: Path, draw: object, reason: str) -> None:
    rows = curated(tmp_path / "run", {"a.png": blobs(1)}, draw, judges={JUDGE: None})  # type: ignore[arg-type]
    assert [(row.standing, row.reason) for row in rows] == [("rejected", reason)] * 2
    assert all("likeness_mean_colour" not in row.entries for row in rows)


def test_no_score_is_made_of_numbers_that_are_none(tmp_path: Path) -> None:
    def draw(request: Request) -> Image.Image:
        return Image.new("RGB", (32, 32)) if request.style else blobs(request.seed)

    rows = curated(tmp_path / "run", {"a.png": blobs(1)}, draw, judges={JUDGE: None}, reject={})
    assert [row.standing for row in rows] == ["unjudged"] * 2
    assert "mean_colour gave numbers that are none" in rows[0].reason and "mean_colour" not in rows[0].scores


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"judges": {JUDGE: None}, "reject": {"poor": "mean_color<.5"}}, "did you mean mean_colour"),
        (
            {"vlm": {**VLM, "settled": "clip>.5"}},
            "the scores are change_content, change_style, contrast",
        ),
        ({"reject": {"poor": "clip>.5"}}, "the scores are change_content, change_style, contrast"),
        ({"judges": {f"{__name__}:other_kind": None}}, "expected one that sees style or subjects"),
        ({"judges": {"clop": None}}, "got the judge clop, expected clip"),
        ({"judges": {"csd": None}}, "the file of the judge csd is not there"),
        (
            {"judges": {f"{__name__}:mean_colour": None, f"{__name__}:MeanColour": None}},
            "two judges give the score mean",
        ),
    ],
)
def test_judges_and_expressions_are_checked_before_the_first_row(
    tmp_path: Path, settings: dict[str, object], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        curated(tmp_path / "run", {"a.png": blobs(1)}, **settings)
    assert not (tmp_path / "run").exists()


def test_one_more_judge_has_no_other_look_again(tmp_path: Path) -> None:
    first = curated(tmp_path / "run", {"a.png": blobs(1)})
    second = curated(tmp_path / "run", {"a.png": blobs(1)}, judges={JUDGE: None})
    for before, after in zip(first, second, strict=True):
        assert all(after.entries[name] == entry for name, entry in before.entries.items())


def test_vectors_are_kept_on_the_disk(tmp_path: Path) -> None:
    vectors = Vectors(tmp_path, "judge")
    vectors.add("a", np.array([0.6, 0.8]))
    vectors.add("b", np.array([np.nan, 0.8]))
    assert vectors.get("a") is not None and vectors.get("c") is None
    del vectors
    assert set(kept_vectors(tmp_path, "judge", ["a", "b", "c"])) == {"a"}
    assert len(list((tmp_path / FOLDER / "judge").iterdir())) == 1


def test_vectors_that_cannot_be_written_at_the_end_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("a file where the folder should be")
    code = (
        "import sys, numpy; from pathlib import Path; from comfyui_uso.trainer.curate.judging.vectors import Vectors;"
        "vectors = Vectors(Path(sys.argv[1]), 'judge'); vectors.add('a', numpy.ones(2))"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    (line,) = done.stderr.splitlines()
    assert "cannot be written" in line and "are made again when they are needed" in line


def test_names_of_judges_become_names_of_scores() -> None:
    assert score_name(replace(MeanColour.card, name="7 and-up")) == "_7_and_up"


def test_dear_steps_wait_until_nothing_else_is_left(tmp_path: Path) -> None:
    plans = [
        StepPlan("target"),
        StepPlan("dear", ("target",), waits=True),
        StepPlan("dearest", ("target",), waits=True),
    ]
    run = tmp_path / "run"
    pipeline, row, ledger, journal = Pipeline(plans), Row("0" * 32, "a.png", "1", "shifted"), Ledger(run), Journal(run)
    for name in ("target", "dear", "dearest"):
        tasks = pipeline.progress(row, ledger).tasks
        assert [task.plan.name for task in tasks] == [name]
        ledger.add(Entry(row.id, name, tasks[0].id, 0, "done", 1.0), journal)
    journal.close()
    assert pipeline.progress(row, ledger).standing == "complete"


def test_what_a_vlm_has_said_counts_of_rows_that_a_wider_expression_settles(tmp_path: Path) -> None:
    plans = [StepPlan("target"), StepPlan("vlm", ("target",), scores=("vlm_style",))]
    asked, settled = Pipeline(plans), Pipeline(plans, settled="layout='shifted'")
    row, ledger, journal = Row("0" * 32, "a.png", "1", "shifted"), Ledger(tmp_path), Journal(tmp_path)
    (task,) = asked.progress(row, ledger).tasks
    ledger.add(Entry(row.id, "target", task.id, 0, "done", 1.0), journal)
    (task,) = asked.progress(row, ledger).tasks
    assert settled.progress(row, ledger).standing == "complete"
    ledger.add(Entry(row.id, "vlm", task.id, 0, "unjudged", 1.0), journal)
    assert settled.progress(row, ledger).standing == "complete" and not settled.progress(row, ledger).tasks
    (task,) = asked.progress(row, ledger, retry=lambda entry: True).tasks
    ledger.add(Entry(row.id, "vlm", task.id, 1, "done", 1.0, values={"vlm_style": 3.5}), journal)
    journal.close()
    for pipeline in (asked, settled):
        assert pipeline.progress(row, ledger).scores["vlm_style"] == 3.5
