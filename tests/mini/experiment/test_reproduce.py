"""The whole experiment, from nothing to a report, at the smallest sizes at which it runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from comfyui_uso.mini.experiment.folders import WorkFolders
from comfyui_uso.mini.experiment.plan import PLANS, ExperimentPlan, load_plan, load_rows
from comfyui_uso.mini.experiment.report import write_report
from comfyui_uso.mini.experiment.reproduce import reproduce
from comfyui_uso.mini.experiment.results import CURVES, read_lines
from comfyui_uso.mini.experiment.stage_settings import row_stages, shared_settings
from comfyui_uso.mini.stage_names import NETWORK_STAGES, ROW_STAGES
from comfyui_uso.mini.world import LAYOUTS
from comfyui_uso.trainer.engine.checkpoint import checkpoints
from comfyui_uso.trainer.recipe import TrainConfig

SMALL = {"loop.steps": 2, "loop.batch_size": 4}
PLAN = ExperimentPlan(
    pictures=24,
    triplets=16,
    settings={
        "autoencoder": SMALL,
        "decoder": SMALL,
        "encoders": SMALL,
        "vision": SMALL,
        "descriptor": SMALL,
        "judges": {
            "pictures": 120,
            "individuals": 120,
            "style.steps": 2,
            "style.batch_size": 8,
            "identity.steps": 2,
            "identity.batch_size": 8,
        },
        "base": {**SMALL, "models.size": "nano"},
        "style": SMALL,
        "copy": SMALL,
        "triplet": SMALL,
        "reward": {**SMALL, "reward.steps": 2, "reward.last": 1, "reward.active": 1, "loop.keep_every": 2},
    },
    cases=4,
    sample_steps=2,
    cfg=2.0,
    rows=["full", "without_disentangled_encoders"],
    seeds=[1],
)


@pytest.mark.long
def test_from_nothing_to_a_report_and_not_twice(tmp_path: Path) -> None:
    root = tmp_path / "work"
    results = reproduce(PLAN, root)
    lines = read_lines(results)
    assert [(line["row"], line["seed"]) for line in lines] == [("full", 1), ("without_disentangled_encoders", 1)]
    for line in lines:
        layouts = {f"{mode}/{layout}" for mode in ("true", "subject", "joint") for layout in LAYOUTS}
        assert set(line["numbers"]) == {"true", "none", "style", "subject", "joint", *layouts}
        assert all(-1 <= value <= 1 for numbers in line["numbers"].values() for value in numbers.values())
    assert lines[0]["steps"] == dict.fromkeys(ROW_STAGES, 2) and "style" not in lines[1]["steps"]
    assert {point["row"] for point in read_lines(root / CURVES)} == {"full", "without_disentangled_encoders"}

    runs = {folder: [c.step for c in checkpoints(folder)] for folder in root.glob("runs/*/run")}
    before = results.read_bytes()
    reproduce(PLAN, root)
    assert results.read_bytes() == before
    # One more row: only the stages that it does not share are trained.
    reproduce(PLAN, root, rows=["without_asr"])
    new = {folder.parent.name.split("-")[0] for folder in root.glob("runs/*/run") if folder not in runs}
    assert new == {"reward"} and len(read_lines(results)) == 3

    write_report(root, tmp_path / "docs" / "page.md", tmp_path / "docs" / "tables.md")
    tables = (tmp_path / "docs" / "tables.md").read_text(encoding="utf-8")
    assert "`without_asr`: as many steps, no style reward" in tables and "`last_layer_only`" not in tables


def test_rows_share_stages_until_they_differ(tmp_path: Path) -> None:
    plan = load_plan("quick")
    place = WorkFolders(tmp_path, plan)
    rows = load_rows(["full", "without_asr", "endpoint_reward", "without_style_stage", "without_disentangled_encoders"])
    runs = {
        name: {stage: config.loop.run_dir for stage, config in row_stages(plan, place, row, 1, tmp_path).items()}
        for name, row in rows.items()
    }
    for name in ("without_asr", "endpoint_reward"):
        assert all(runs[name][stage] == runs["full"][stage] for stage in ("style", "copy", "triplet"))
        assert runs[name]["reward"] != runs["full"]["reward"]
    assert "style" not in runs["without_style_stage"]
    assert all(runs["without_style_stage"][stage] != runs["full"][stage] for stage in ("copy", "triplet", "reward"))
    other = row_stages(plan, place, rows["full"], 2, tmp_path)
    assert all(other[stage].loop.run_dir != runs["full"][stage] for stage in other)
    shared = row_stages(plan, place, rows["without_disentangled_encoders"], 1, tmp_path)
    assert all(config.models.projector is None for config in shared.values())
    assert shared["copy"].lora.start == "new" and shared["triplet"].lora.start == "continue"
    assert row_stages(plan, place, rows["without_style_stage"], 1, tmp_path)["copy"].models.new_projector


def test_a_changed_network_begins_all_that_stands_on_it_anew(tmp_path: Path) -> None:
    def folders(changed: dict, root: Path, **sizes: int) -> dict[str, str]:
        plan = PLAN.model_copy(update={"settings": {**PLAN.settings, **changed}, **sizes})
        place = WorkFolders(root, plan)
        base = shared_settings(plan, place, "base")
        rows = row_stages(plan, place, load_rows(["full"])["full"], 1, base.out)
        found = {"data": place.data[0], "encoders": place.weights / "x", "judges": place.judges / "x"}
        found |= {name: config.loop.run_dir for name, config in {"base": base, **rows}.items()}
        return {name: folder.parent.name for name, folder in found.items()}

    before = folders({}, tmp_path)
    assert folders({}, tmp_path / "moved") == before

    def kept(after: dict[str, str]) -> set[str]:
        return {name for name in before if after[name] == before[name]}

    for network in NETWORK_STAGES:
        assert kept(folders({network: {"loop.steps": 9}}, tmp_path)) == {"data", "judges"}
    assert kept(folders({}, tmp_path, pictures=25)) == {"judges"}
    assert kept(folders({"triplet": {"loop.steps": 9}}, tmp_path)) == set(before) - {"triplet", "reward"}
    assert kept(folders({"judges": {"seed": 9}}, tmp_path)) == set(before) - {"judges"}


def test_a_plan_names_the_manifests_of_a_stage(tmp_path: Path) -> None:
    def stages(**changed: list[str]) -> dict[str, TrainConfig]:
        plan = PLAN.model_copy(update={"manifests": changed})
        return row_stages(plan, WorkFolders(tmp_path, plan), load_rows(["full"])["full"], 1, tmp_path)

    plain, more = stages(), stages(triplet=["manifest", "singles"])
    names = [f"{folder}/{name}.jsonl" for folder in "ab" for name in ("manifest", "singles")]
    assert [f"{path.parent.name}/{path.name}" for path in more["triplet"].data.manifests] == names
    assert {name for name in plain if plain[name].loop.run_dir != more[name].loop.run_dir} == {"triplet", "reward"}
    assert all(plain[name].data.manifests == more[name].data.manifests for name in plain if name != "triplet")


@pytest.mark.parametrize("name", sorted(path.stem for path in PLANS.glob("*.yaml") if path.stem != "rows"))
def test_shipped_plans_are_whole(name: str, tmp_path: Path) -> None:
    plan = load_plan(name)
    for row in load_rows(plan.rows).values():
        assert row_stages(plan, WorkFolders(tmp_path, plan), row, plan.seeds[0], tmp_path)


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="quick"):
        load_plan("huge")
    with pytest.raises(ValueError, match="without_asr"):
        load_rows(["fuller"])
