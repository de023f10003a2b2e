"""What the last start has seen in the source is what is reviewed, accepted and told of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from comfyui_uso.cli import main
from comfyui_uso.trainer.curate.ledger import Ledger
from comfyui_uso.trainer.curate.listing import LISTING, read_listing
from comfyui_uso.trainer.curate.recipe import ExpertSettings
from comfyui_uso.trainer.curate.run_folder import candidates, read_run
from comfyui_uso.trainer.curate.steps import Request
from comfyui_uso.trainer.data.manifest import read_manifest
from PIL import Image

from .judged import blobs

COUNT = 2


class Drawer:
    """Draws other blobs for every request."""

    workers = 1

    def describe(self) -> dict[str, Any]:
        return {"kind": "blobs"}

    def __call__(self, request: Request) -> Image.Image:
        return blobs(request.seed % 100_000)


def drawer(settings: ExpertSettings) -> Drawer:
    return Drawer()


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    source = tmp_path / "pictures"
    source.mkdir()
    for number in range(COUNT):
        blobs(number + 1).save(source / f"{number}.png")
        (source / f"{number}.txt").write_text(f"caption {number}")
    told: dict[str, Any] = {
        "source": {"path": str(source)},
        "width": 32,
        "height": 32,
        "experts": {"drawer": {"kind": f"{__name__}:drawer"}},
        "style": {"expert": "drawer", "subjects": ["a cat", "a boat"], "instructions": ["{subject}"]},
        "content_kept": {"expert": "drawer", "instructions": [""]},
        "content_shifted": {"expert": "drawer", "instructions": [""]},
        "reject": {},
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(told))
    return path


def changed(recipe: Path, **settings: Any) -> Path:
    told = yaml.safe_load(recipe.read_text())
    path = recipe.with_name("changed.yaml")
    path.write_text(yaml.safe_dump({**told, **settings}))
    return path


def run(recipe: Path) -> Path:
    folder = recipe.parent / "run"
    assert main(["curate", "run", str(folder), str(recipe)]) == 0
    return folder


def accepted(folder: Path) -> list[Any]:
    assert main(["curate", "accept", str(folder), "--near", "0"]) == 0
    return sorted(read_manifest(folder / "manifest.jsonl", None), key=lambda row: row.id)


def drawn(folder: Path, step: str) -> set[str]:
    pipeline = read_run(folder)[1]
    return {one.pictures[step].sha256 for one in candidates(pipeline, Ledger(folder))}


def test_other_subjects_give_other_pictures(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run(recipe)
    before = {row.style[0] for row in accepted(folder)}
    style = {"expert": "drawer", "subjects": ["a lamp", "a stone"], "instructions": ["{subject}"]}
    other = changed(recipe, style=style)
    capsys.readouterr()
    assert main(["curate", "status", str(folder), str(other)]) == 0
    assert f"style of {2 * COUNT} rows" in capsys.readouterr().out
    run(other)
    after = {row.style[0] for row in accepted(folder)}
    assert not before & after and {path.stem for path in after} == drawn(folder, "style")
    assert {row.style[0] for row in accepted(run(recipe))} == before, "and back again"
    run(changed(recipe, style=style, seed=5))
    assert not {row.style[0] for row in accepted(folder)} & (before | after)


def test_corrected_captions_are_taken_in_and_nothing_is_drawn(recipe: Path) -> None:
    folder = run(recipe)
    before = accepted(folder)
    for number in range(COUNT):
        (recipe.parent / "pictures" / f"{number}.txt").write_text(f"corrected {number}")
    entries = len(Ledger(folder))
    after = accepted(run(recipe))
    assert len(Ledger(folder)) == entries and [row.target for row in after] == [row.target for row in before]
    shifted = sorted(row.prompt for row in after if row.layout == "shifted")
    assert shifted == [f"corrected {number}" for number in range(COUNT)]


def test_rows_that_are_not_asked_for_any_more_are_left_out(recipe: Path) -> None:
    folder = run(recipe)
    assert len(accepted(folder)) == 2 * COUNT
    assert [row.layout for row in accepted(run(changed(recipe, shifted=0)))] == ["preserved"] * COUNT
    (recipe.parent / "pictures" / "0.png").unlink()
    assert len(accepted(run(recipe))) == 2 * (COUNT - 1)


def test_a_damaged_listing_is_named_with_its_line(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run(recipe)
    good = (folder / LISTING).read_text().splitlines()
    row = json.loads(good[0])
    changes = [
        {"about": 3},
        {"about": {"style": {}}},
        {"layout": "../x"},
        {"number": "1"},
        {"evil": 1},
        {"id": "other"},
    ]
    for line in ["3", "null", "{", *(json.dumps({**row, **change}) for change in changes)]:
        (folder / LISTING).write_text("\n".join([*good[:1], line]) + "\n")
        with pytest.raises(ValueError, match=r"rows.jsonl line 2 is no row"):
            list(read_listing(folder))
    capsys.readouterr()
    (folder / LISTING).unlink()
    assert main(["curate", "accept", str(folder)]) == 2
    told = capsys.readouterr().err
    assert "rows.jsonl is not there; run `uso curate run`" in told and told.count("\n") == 1
