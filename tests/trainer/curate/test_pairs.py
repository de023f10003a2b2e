"""`uso curate pairs`: what a stylisation expert trains on, and the recipe of its training."""

from __future__ import annotations

from pathlib import Path

import pytest
from comfyui_uso.cli import main
from comfyui_uso.trainer.curate.pipeline import Progress
from comfyui_uso.trainer.data.manifest import read_manifest
from comfyui_uso.trainer.reading.recipe_files import RECIPES, load_recipe, recipe_file

from .judged import blobs, curated

NAMES = ("a/1", "a/2", "b/1")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Progress]]:
    run = tmp_path_factory.mktemp("pairs") / "run"
    for name in NAMES:
        path = run.parent / f"run-source/{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"what {name} shows", encoding="utf-8")
    return run, curated(run, {f"{name}.png": blobs(number) for number, name in enumerate(NAMES)})


def test_pairs_of_accepted_rows(made: tuple[Path, list[Progress]], capsys: pytest.CaptureFixture[str]) -> None:
    run, found = made
    assert main(["curate", "pairs", str(run)]) == 2 and "`uso curate accept` first" in capsys.readouterr().err
    assert main(["curate", "accept", str(run), "--near", "-1", "--split", "validation=0"]) == 0
    assert main(["curate", "pairs", str(run)]) == 0
    told = {progress.row.id: progress for progress in found}
    accepted = {row.id: row for row in read_manifest(run / "manifest.jsonl", split=None)}
    rows = {row.id: row for row in read_manifest(run / "pairs.jsonl")}
    group = {id_ for id_ in accepted if told[id_].row.about["style"] == "a"}
    expected = {f"{id_}-{kind}" for id_ in accepted for kind in ("reference", "target")}
    assert len(accepted) == len(found) and set(rows) == expected | {f"{id_}-group" for id_ in group}
    for progress in found:
        row, whole = rows[f"{progress.row.id}-reference"], accepted[progress.row.id]
        assert row.target == whole.style[0] and list(row.style) == [whole.target] and row.content is None
        assert row.prompt == progress.entries["style"].notes["prompt"] and progress.row.subject in row.prompt
        assert row.layout == "shifted"
        back = rows[f"{progress.row.id}-target"]
        assert (back.target, list(back.style)) == (whole.target, whole.style)
        assert back.prompt == f"what {progress.row.key[:3]} shows"
    for id_ in group:
        row = rows[f"{id_}-group"]
        assert row.target == accepted[id_].target and row.style[0] != row.target
        assert row.style[0] in {accepted[other].target for other in group}


def test_pictures_of_other_settings_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, told = tmp_path / "run", {"style": {"expert": "drawer", "instructions": ["draw {subject}"]}}
    targets = {"1.png": blobs(1), "2.png": blobs(2)}
    curated(run, targets, **told)
    assert main(["curate", "accept", str(run), "--near", "-1"]) == 0
    told["style"]["instructions"] = ["paint {subject}"]
    curated(run, targets, lambda request: blobs(request.seed + 1), **told)
    capsys.readouterr()
    for words in (["pairs", str(run)], ["export", str(run), str(tmp_path / "out")]):
        assert main(["curate", *words]) == 2
        said = capsys.readouterr().err
        assert "4 rows of" in said and "choose rows with `uso curate accept` once more" in said
    assert not (run / "pairs.jsonl").exists() and not (tmp_path / "out").exists()
    assert main(["curate", "accept", str(run), "--near", "-1"]) == 0
    assert main(["curate", "pairs", str(run)]) == main(["curate", "export", str(run), str(tmp_path / "out")]) == 0
    assert {row.prompt for row in read_manifest(run / "pairs.jsonl", None)} == {"paint a cat"}


def test_the_recipe_is_unos() -> None:
    config = load_recipe(RECIPES / "stylise_expert.yaml")
    assert (config.loop.learning_rate, config.loop.batch_size, config.loop.steps) == (1e-5, 16, 5000)
    assert config.conditions.style_path == "vae" and config.lora.start == "continue" and not config.train_projector
    assert config.flow.guidance == (1.0, 1.0) and config.data.text_dropout == 0.1


def test_the_miniatures_recipe_has_the_same_form() -> None:
    large, small = (load_recipe(recipe_file(name)) for name in ("stylise_expert", "mini_expert"))
    assert large.stage == small.stage == "triplet" and large.needs == small.needs == "style"
    assert large.data.manifests == small.data.manifests


def test_a_recipe_of_a_family_is_found_by_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["curate", "run", str(tmp_path / "run"), "mini_curate", f"source.path={tmp_path / 'absent'}"]) == 2
    assert "absent" in capsys.readouterr().err
    for name in ("mini_absent", "toy"):
        assert main(["curate", "run", str(tmp_path / "run"), name]) == 2
        assert f"{name} is not there; correct the path" in capsys.readouterr().err
