"""Rewards and witnesses in a recipe, from the settings to the log."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from comfyui_uso.trainer.encoders import PictureJudge
from comfyui_uso.trainer.memory.plan import plan
from comfyui_uso.trainer.reading.recipe_files import RECIPES, load_recipe
from comfyui_uso.trainer.recipe import JudgeReward
from comfyui_uso.trainer.train import train
from comfyui_uso.uso_model.checkpoints import write_safetensors

REWARD = {"start": 2, "size": 32, "steps": 3, "last": 2, "active": 1}


@pytest.fixture
def several(tiny_encoders):
    """Return encoders with a judge of brightness beside the one of style, and another that only looks on."""

    def brightness(pixels):
        return F.normalize(F.adaptive_avg_pool2d(pixels, 2).mean(dim=1).flatten(1) + 2, dim=1)

    judges = {name: PictureJudge(brightness, "content", name) for name in ("dino", "clip")}
    return replace(tiny_encoders, judges={**tiny_encoders.judges, **judges})


def test_every_reward_is_logged_apart_and_witnesses_look_at_the_samples(recipe, several):
    config = recipe(
        reward={**REWARD, "judges": {"csd": 1, "dino": 0.5}},
        monitor={"samples_every": 2, "samples": 1, "sample_steps": 1},
    )
    train(config, several)
    lines = [json.loads(line) for line in (config.loop.run_dir / "log.jsonl").read_text().splitlines()]
    found = set().union(*lines)
    assert {"reward_similarity_csd", "reward_similarity_dino", "reward_loss", "cosine_flow_reward"} <= found
    assert "reward_similarity" not in found
    assert {"sample_descriptor", "sample_dino", "sample_clip"} <= found
    last = [line for line in lines if "reward_loss" in line][-1]
    parts = 1 - last["reward_similarity_csd"] + 0.5 * (1 - last["reward_similarity_dino"])
    assert last["reward_loss"] == pytest.approx(parts, abs=1e-5)


def test_a_reward_by_subject_alone(recipe, several):
    config = recipe(reward={**REWARD, "judges": {"dino": 1}}, monitor={"witnesses": []}, loop={"steps": 3})
    train(config, several)
    lines = [json.loads(line) for line in (config.loop.run_dir / "log.jsonl").read_text().splitlines()]
    assert "reward_similarity" in lines[-1]


def test_how_judges_are_written():
    def judges(*texts):
        return load_recipe(RECIPES / "toy.yaml", texts=["reward.start=3", *texts]).reward.judges

    assert judges() == judges("reward.judges.csd=1") == {"csd": JudgeReward()}
    assert judges("reward.judges={csd: 1, dino: {weight: 0.2, against: content}}") == {
        "csd": JudgeReward(),
        "dino": JudgeReward(weight=0.2, against="content"),
    }
    assert judges("reward.judges.dino=0.5", "reward.judges.csd.margin=0.8") == {
        "dino": JudgeReward(weight=0.5),
        "csd": JudgeReward(margin=0.8),
    }
    assert judges("reward.judges={'mine.judges:brightness': 2}") == {"mine.judges:brightness": JudgeReward(weight=2)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("reward.judges={}", "reward.judges: .*at least 1"),
        ("reward.judges.csd=0", "reward.judges.csd.weight: .*greater than 0"),
        ("reward.judges.csd=much", "reward.judges.csd.weight: .*number"),
        ("reward.judges={csd: {against: text}}", "reward.judges.csd.against: .*'style' or 'content'"),
        ("reward.judges={csd: {wait: 1}}", "reward.judges.csd.wait is unknown"),
        ("reward.judges={csd: [1]}", "reward.judges.csd: "),
        ("reward.judges={csd: 1, 'other:csd': 1}", "csd, other:csd two would be logged under one name"),
        ("models.judges={'../dino': a.safetensors}", "got the judge ../dino, expected a name or an import path"),
        ("monitor.witnesses=[other:style]", "or one as what is measured anyway"),
    ],
)
def test_what_is_no_judge_of_a_reward_is_named(text, message):
    with pytest.raises(ValueError, match=f"the command line.*{message}"):
        load_recipe(RECIPES / "toy.yaml", texts=["reward.start=3", text])


def test_witnesses_may_come_and_go_while_a_run_goes_on_and_rewards_may_not(recipe, several, tmp_path):
    files = {name: tmp_path / f"{name}.safetensors" for name in ("csd", "dino", "other")}
    for number, path in enumerate(files.values()):
        write_safetensors(path, {"w": torch.full((1,), float(number))})
    judges = {name: files[name] for name in ("csd", "dino")}
    reward = {**REWARD, "judges": {"csd": 1}}
    train(recipe(reward=reward, models={"judges": judges}, loop={"steps": 1}), several)
    assert train(recipe(reward=reward, models={"judges": {"csd": files["csd"]}}, loop={"steps": 2}), several) == 2
    with pytest.raises(ValueError, match=r"models\.judges\.csd"):
        train(recipe(reward=reward, models={"judges": {"csd": files["other"]}}, loop={"steps": 3}), several)
    more = {**REWARD, "judges": {"csd": 1, "dino": 1}}
    with pytest.raises(ValueError, match=r"reward\.judges\.dino\.weight was None and is now 1\.0"):
        train(recipe(reward=more, models={"judges": judges}, loop={"steps": 3}), several)


def test_the_memory_plan_counts_every_judge():
    def planned(*texts):
        texts = ["reward.start=0", "models.csd=csd.safetensors", "monitor.samples_every=1", *texts]
        return plan(load_recipe(RECIPES / "adapt_12gb.yaml", texts=texts)).phases

    def held(phases, name):
        return next(phase.on_gpu for phase in phases if phase.name == name)

    both = planned("reward.judges={csd: 1, dino: 1}", "models.judges.dino=dino.safetensors")
    witness = planned("models.judges.dino=dino.safetensors")
    for phases, more in ((both, {"rewarding", "drawing samples"}), (witness, {"drawing samples"})):
        for name in ("rewarding", "drawing samples"):
            grown = held(phases, name) - held(planned(), name)
            assert grown == pytest.approx(0.09e9 if name in more else 0, abs=1)
