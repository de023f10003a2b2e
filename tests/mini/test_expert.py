"""USO-mini as an expert draws what USO-mini draws, and what a run has trained takes its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from comfyui_uso.cli import main
from comfyui_uso.mini.example_pictures import EXAMPLES, example
from comfyui_uso.mini.model import load_mini
from comfyui_uso.mini.model.generate import generate
from comfyui_uso.trainer.curate.experts.open import open_expert
from comfyui_uso.trainer.curate.ledger import Ledger
from comfyui_uso.trainer.curate.recipe import ExpertSettings
from comfyui_uso.trainer.curate.run_folder import candidates, read_run
from comfyui_uso.trainer.curate.steps import Expert, Request
from comfyui_uso.uso_model.errors import UserError

SIZE = {"width": 128, "height": 128}


def expert(kind: str = "comfyui_uso.mini.expert:bundled_expert", **options: Any) -> Expert:
    return open_expert("e", ExpertSettings.model_validate({"kind": kind, **options}))


def pixels(expert: Expert, **request: Any) -> np.ndarray:
    return np.asarray(expert(Request(**{"prompt": "", "seed": 7, **SIZE, **request}))).astype(int)


def test_draws_what_the_miniature_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    one = example("1")
    found = expert(settings={"steps": 4})
    drawn = pixels(found, prompt="a red cat", style=one.style, content=one.content)
    wanted = generate(load_mini(), ["a red cat"], [[one.style]], [[one.content]], seed=7, steps=4)[0]
    # Encodings are kept in half precision, as training keeps them.
    assert abs(drawn - np.asarray(wanted).astype(int)).mean() < 1 and drawn.std() > 10
    assert not list(tmp_path.iterdir()), "drawing writes nothing"
    other = pixels(found, prompt="a red cat", style=one.style, seed=8, width=96)
    assert other.shape == (128, 96, 3)
    with pytest.raises(UserError, match="sides that are multiples of 16, and 100x128 is none"):
        pixels(found, width=100)


def test_says_what_decides_a_picture(tmp_path: Path) -> None:
    file = tmp_path / "photo.png"
    example("1").content.save(file)
    told = [expert(settings=settings).describe() for settings in ({}, {"steps": 4}, {"style": str(file)})]
    assert told[0]["family"] == "uso-mini" and set(told[0]["files"]) == {"transformer", "lora", "projector"}
    assert told[0] == expert(devices=["cpu"], workers=3).describe()
    assert len({str(one) for one in told}) == 3
    with pytest.raises(UserError, match=r"absent\.png is not there; put the picture back or name another"):
        expert(settings={"style": "absent.png"})
    with pytest.raises(UserError, match=r"stepps.*steps"):
        expert(settings={"stepps": 4})
    with pytest.raises(UserError, match="needs the model's files: name a recipe or a run's folder"):
        expert("network")


def test_a_style_reference_of_its_own(tmp_path: Path) -> None:
    one, file = example("1"), tmp_path / "photo.png"
    example("2").content.save(file)
    plain, own = (expert(settings={"steps": 2, **more}) for more in ({}, {"style": str(file)}))
    assert np.array_equal(
        pixels(own, content=one.content), pixels(plain, content=one.content, style=example("2").content)
    )
    assert np.array_equal(pixels(own, style=one.style), pixels(plain, style=one.style))


def test_references_go_through_the_autoencoder_as_in_uno() -> None:
    one = example("3")
    plain, uno = (expert(settings={"steps": 2, "recipe": recipe}) for recipe in ([], ["conditions.style_path=vae"]))
    assert np.array_equal(pixels(uno, style=one.style), pixels(plain, content=one.style))
    assert uno.describe()["settings"]["style_path"] == "vae" != plain.describe()["settings"]["style_path"]


@pytest.mark.long
def test_the_recipe_draws_the_same_on_one_device_and_on_several(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in "123":
        (source / f"{number}.png").write_bytes((EXAMPLES / f"{number}_style.png").read_bytes())
        (source / f"{number}.txt").write_text(example(number).prompt, encoding="utf-8")
    names = ("stylist", "photographer", "portraitist")
    few = [f"source.path={source}", *(f"experts.{name}.settings={{steps: 1}}" for name in names)]
    found = {}
    for run, devices in (("one", []), ("two", ["experts.stylist.devices=[cpu, cpu]"])):
        assert main(["curate", "run", str(tmp_path / run), "mini_curate", *few, *devices]) == 0
        _, pipeline = read_run(tmp_path / run)
        rows = list(candidates(pipeline, Ledger(tmp_path / run)))
        found[run] = {row.row.id: {name: one.sha256 for name, one in row.pictures.items()} for row in rows}
    assert len(found["one"]) == 6 and all(set(row) == {"target", "style", "content"} for row in found["one"].values())
    assert found["one"] == found["two"]
