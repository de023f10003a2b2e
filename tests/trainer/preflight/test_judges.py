"""A judge that cannot reward, or has no file or references, is named with its setting before anything is encoded."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from comfyui_uso.trainer.data.manifest import read_manifest, write_manifest
from comfyui_uso.trainer.preflight import look
from comfyui_uso.trainer.recipe import TrainConfig
from comfyui_uso.uso_model.checkpoints import write_safetensors
from comfyui_uso.uso_model.judging.dino import CARDS

from .conftest import siglip

Make = Callable[..., TrainConfig]


class Verdict:
    """A judge that says a number, as a language model would, and has no gradient."""

    card = CARDS["dino"]

    def prepare(self, picture: Any) -> torch.Tensor:
        return torch.zeros(3, 1, 1)

    def embed(self, prepared: torch.Tensor) -> torch.Tensor:
        return torch.ones(len(prepared), 1)

    embed_pixels = embed


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Write files whose keys and shapes are those of judges, and one of another model."""
    found = {name: tmp_path / f"{name}_file.safetensors" for name in ("csd", "dino", "siglip")}
    csd = {"last_layer_style": torch.zeros(2, 2), "backbone.conv1.weight": torch.zeros(2, 3, 2, 2)}
    dino = {
        "embeddings.cls_token": torch.zeros(1, 1, 384),
        "embeddings.patch_embeddings.projection.weight": torch.zeros(384, 3, 16, 16),
    }
    for name, tensors in {"csd": csd, "dino": dino, "siglip": siglip()}.items():
        write_safetensors(found[name], tensors)
    return found


def reward(**judges: Any) -> dict[str, Any]:
    return {"reward": {"start": 0, "steps": 4, "last": 2, "active": 1, "judges": judges}}


def test_what_is_in_order_and_what_looks_at_the_reward(flux_recipe: Make, files: dict[str, Path]) -> None:
    both = {"models__judges": {"csd": files["csd"], "dino": files["dino"]}}
    assert look(flux_recipe(**both, **reward(csd=1, dino=0.5), monitor__samples_every=5)).problems == []
    alone = look(flux_recipe(models__csd=files["csd"], **reward(csd=1)))
    assert alone.problems == []
    assert any("no judge but the reward itself (csd) will look at samples" in note for note in alone.notes)
    watched = look(flux_recipe(**both, **reward(csd=1), monitor__samples_every=5))
    assert not any("no judge but" in note for note in watched.notes)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (reward(csd=1), ["reward.judges: the judge csd needs", "uso csd", "models.judges.csd", "https://"]),
        (
            reward(dino=1),
            ["reward.judges: the judge dino needs model.safetensors of facebook/dino", "models.judges.dino"],
        ),
        ({"monitor__witnesses": ["clip"]}, ["monitor.witnesses: the judge clip needs"]),
        (reward(dyno=1), ["reward.judges: got the judge dyno, expected clip, dino"]),
        ({"models__judges": {"dino": "siglip"}}, ["models.judges.dino", "looks like a SigLIP", "DINO version 1"]),
        ({"models__judges": {"dino": "absent"}}, ["models.judges.dino: ", "absent is not there"]),
        ({"models__judges": {"dyno": "dino"}}, ["models.judges.dyno", "expected clip, dino"]),
        (reward(**{"verdicts:Verdict": 1}), ["reward.judges: verdicts:Verdict gives no gradient", "monitor.witnesses"]),
        (reward(**{"verdicts:Nothing": 1}), ["there is no Nothing in verdicts"]),
    ],
)
def test_a_judge_that_will_not_do_is_named(
    settings: dict[str, Any],
    words: list[str],
    flux_recipe: Make,
    files: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = ModuleType("verdicts")
    module.Verdict = Verdict  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "verdicts", module)
    named = settings.get("models__judges", {})
    settings = {**settings, "models__judges": {name: files.get(file, tmp_path / file) for name, file in named.items()}}
    problems = look(flux_recipe(**settings)).problems
    assert len(problems) == 1 and all(word in problems[0] for word in words), problems


def test_a_witness_needs_no_gradient(flux_recipe: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("verdicts")
    module.Verdict = Verdict  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "verdicts", module)
    assert look(flux_recipe(monitor__witnesses=["verdicts:Verdict"])).problems == []


def test_a_reward_that_no_row_can_get_is_refused(flux_recipe: Make, files: dict[str, Path], manifest: Path) -> None:
    write_manifest([row.model_copy(update={"content": None}) for row in read_manifest(manifest)], manifest)
    dino = {"models__judges": {"dino": files["dino"]}}
    (problem,) = look(flux_recipe(**dino, **reward(dino=1))).problems
    assert "dino compares with the content reference, and none of 8 rows has one" in problem
    assert look(flux_recipe(**dino, **reward(dino={"against": "style"}))).problems == []
    (problem, *_) = look(flux_recipe(**dino, **reward(dino=1), stage="style")).problems
    assert "the content reference, which stage style leaves out" in problem


def test_open_clip_is_asked_for_at_once(
    flux_recipe: Make, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    (problem,) = look(flux_recipe(models__csd=files["csd"])).problems
    assert problem.startswith("models.csd: the judge csd needs the package open_clip") and "pip install" in problem


def test_given_encoders_need_no_files(flux_recipe: Make) -> None:
    assert look(flux_recipe(**reward(csd=1)), encoders=False).problems == []
