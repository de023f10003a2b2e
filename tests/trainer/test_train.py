"""Every stage runs, trains only what it may, resumes exactly, learns, and exports what loads back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from comfyui_uso.trainer.data.manifest import read_manifest, write_manifest
from comfyui_uso.trainer.engine.checkpoint import latest
from comfyui_uso.trainer.export.names import OWN, PROJECTOR, newest, newest_lora
from comfyui_uso.trainer.export.run import export_run
from comfyui_uso.trainer.lora.adapters import add_lora, lora_from_parameters, lora_layers
from comfyui_uso.trainer.networks import build_networks
from comfyui_uso.trainer.train import train
from comfyui_uso.uso_model.blocks import ModulationLayer
from comfyui_uso.uso_model.checkpoints import (
    Lora,
    LowRank,
    load_projector,
    load_transformer,
    merge_lora,
    read_lora,
    read_metadata,
    save_transformer,
    write_diffusion_model_lora,
)


def test_base_writes_a_flux_file_that_loads(recipe, tiny_encoders, tiny_transformer):
    config = recipe("base")
    train(config, tiny_encoders)
    trained = load_transformer(newest(config.out, OWN), torch.float32)
    assert not torch.allclose(trained.img_in.weight, tiny_transformer.img_in.weight, atol=1e-3)


@pytest.mark.parametrize(
    ("stage", "train_projector", "allowed"),
    [
        ("base", False, ("transformer.",)),
        ("style", False, ("projector.",)),
        ("triplet", False, ("lora_",)),
        ("triplet", True, ("lora_", "projector.")),
    ],
)
def test_a_stage_changes_only_what_it_may(stage, train_projector, allowed, recipe, tiny_encoders):
    config = recipe(stage, train_projector=train_projector)
    networks = build_networks(config, torch.device("cpu"))
    may = {name for name, p in networks.together.named_parameters() if p.requires_grad}
    assert may and all(any(part in name for part in allowed) for name in may)
    train(config, tiny_encoders)
    saved = latest(config.loop.run_dir)
    assert saved is not None and saved.trained().keys() == may
    start = dict(networks.together.named_parameters())
    changed = [name for name, value in saved.trained().items() if not torch.equal(value, start[name])]
    assert len(changed) > 0.9 * len(may)


def test_files_of_frozen_networks_are_untouched(recipe, tiny_encoders, tiny_files):
    before = {name: path.read_bytes() for name, path in tiny_files.items()}
    train(recipe(), tiny_encoders)
    assert all(path.read_bytes() == before[name] for name, path in tiny_files.items())


@pytest.mark.long
def test_one_triplet_is_learnt(recipe, tiny_encoders, tiny_transformer, tiny_files, manifest):
    """The loss at fixed times and noise falls by more than 90 %.

    The base is given what any trained FLUX has: it passes its input on, and its blocks' gates are open. Random weights
    do neither, and a LoRA cannot make up for it.
    """
    with torch.no_grad():
        torch.nn.init.orthogonal_(tiny_transformer.img_in.weight)
        tiny_transformer.final_layer.linear.weight.copy_(tiny_transformer.img_in.weight.T)
        for module in tiny_transformer.modules():
            if isinstance(module, ModulationLayer):
                for gate in module.lin.bias.view(module.sublayers, 3, -1)[:, 2]:
                    gate.fill_(1.0)
    save_transformer(tiny_files["transformer"], tiny_transformer, "fp32")
    rows = read_manifest(manifest)
    write_manifest([rows[1], rows[1].model_copy(update={"id": "held", "split": "validation"})], manifest)
    config = recipe(
        lora={"rank": 128},
        conditions={"dropout": 0.0},
        monitor={"validation_every": 400, "validation_rows": 1},
        loop={"steps": 400, "batch_size": 8, "learning_rate": 4e-3, "warmup": 20, "decay": "cosine", "log_every": 400},
    )
    train(config, tiny_encoders)
    lines = [json.loads(line) for line in (config.loop.run_dir / "log.jsonl").read_text().splitlines()]
    first, last = (line["validation_loss"] for line in lines if "validation_loss" in line)
    assert last < 0.1 * first, (first, last)


@pytest.mark.parametrize("cut", [1, 3, 5])
def test_an_interrupted_run_ends_in_the_same_weights(cut, recipe, tiny_encoders):
    """Cut within an epoch (8 rows, 2 a step), before and after the reward begins at step 4, with averaged weights."""
    reward = {"start": 4, "size": 32, "steps": 3, "last": 2, "active": 1}

    def go(name, steps):
        changes = {"steps": steps, "ema": 0.9, "warmup": 2}
        config = recipe(name=name, reward=reward, conditions={"dropout": 0.5}, train_projector=True, loop=changes)
        train(config, tiny_encoders)
        saved = latest(config.loop.run_dir)
        return {**saved.trained(), **{f"ema.{k}": v for k, v in saved.ema().items()}}

    whole = go("whole", 7)
    go("halted", cut)
    resumed = go("halted", 7)
    assert whole.keys() == resumed.keys() and all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_the_cache_changes_no_result(recipe, tiny_encoders, tmp_path):
    def go(name, cache):
        config = recipe(name=name, data={"cache": tmp_path / cache})
        train(config, tiny_encoders)
        return [json.loads(line)["loss"] for line in (config.loop.run_dir / "log.jsonl").read_text().splitlines()]

    assert go("first", "a") == go("kept", "a") == go("new", "b")


@pytest.mark.parametrize("start", ["continue", "add"])
def test_a_published_lora_is_trained_on(start, recipe, tiny_encoders, tmp_path):
    """Continued or added to: what is exported computes what was trained, on the base without the published LoRA."""
    first = recipe(name="published", lora={"rank": 4})
    train(first, tiny_encoders)
    published = newest(first.out, OWN)
    config = recipe(name="second", lora={"rank": 2, "start": start}, models={"lora": published})
    train(config, tiny_encoders)
    lora = read_lora(newest_lora(config.out))
    ranks = {part.rank for part in lora.modules.values()}
    assert ranks == ({4} if start == "continue" else {6})
    live = build_networks(config, torch.device("cpu")).transformer
    saved = latest(config.loop.run_dir).trained()
    live.load_state_dict({k.removeprefix("transformer."): v for k, v in saved.items()}, strict=False)
    merged = load_transformer(config.models.transformer, torch.float32)
    export_run(config.loop.run_dir, out=tmp_path / "wide", dtype="fp32")
    merge_lora(merged, read_lora(newest_lora(tmp_path / "wide")))
    torch.manual_seed(5)
    inputs = {
        "img": torch.randn(2, 4, 64),
        "img_ids": torch.zeros(4, 3),
        "txt": torch.randn(2, 3, 8),
        "txt_ids": torch.zeros(3, 3),
        "timesteps": torch.rand(2),
        "y": torch.randn(2, 8),
        "guidance": torch.ones(2),
    }
    assert torch.allclose(live(**inputs), merged(**inputs), atol=1e-4)


def test_the_export_says_where_it_comes_from(recipe, tiny_encoders, tmp_path):
    config = recipe()
    train(config, tiny_encoders)
    told = read_metadata(newest(config.out, OWN))
    assert told["modelspec.sai_model_spec"] == "1.0.1" and told["ss_network_dim"] == "4"
    assert told["uso.step"] == "4" and len(told["uso.dataset_sha256"]) == 64
    assert str(tmp_path) not in json.dumps(told), "a published file must not tell the folders of its maker"
    report = export_run(config.loop.run_dir, step=4, out=tmp_path / "again", dtype="fp32", weights="live")
    assert "12/12 keys map" in report
    saved = latest(config.loop.run_dir).trained()
    trained = lora_from_parameters({k.removeprefix("transformer."): v for k, v in saved.items()})
    assert torch.equal(
        read_lora(newest(tmp_path / "again", OWN)).modules["single_blocks.0.linear2"].up,
        trained.modules["single_blocks.0.linear2"].up,
    )
    assert load_projector(newest(tmp_path / "again", PROJECTOR)).tokens_out == 2
    with pytest.raises(ValueError, match="no complete checkpoint of step 3"):
        export_run(config.loop.run_dir, step=3)


def test_a_lora_of_other_layers_and_ranks_is_trained_on(recipe, tiny_transformer, tmp_path, caplog):
    add_lora(tiny_transformer, 3, layers=["single_blocks.0.linear1_mlp", "double_blocks.0.img_mlp.0"])
    lora = lora_from_parameters(dict(tiny_transformer.named_parameters()))
    write_diffusion_model_lora(
        tmp_path / "x.safetensors", Lora({k: LowRank(p.down, p.up + 1) for k, p in lora.modules.items()})
    )
    changes = {"models": {"lora": tmp_path / "x.safetensors"}}
    networks = build_networks(recipe(lora={"start": "continue", "rank": None}, **changes), torch.device("cpu"))
    assert lora_layers(networks.transformer).keys() == lora.modules.keys() and not caplog.records
    build_networks(recipe(lora={"start": "continue", "rank": 7}, **changes), torch.device("cpu"))
    assert "lora.rank 7 has no effect" in caplog.text and "of rank 3" in caplog.text


@pytest.mark.parametrize(
    "changes", [{"alpha": 1.0}, {"layers": ["proj"]}, {"blocks": "s0"}, {"dropout": 0.5}, {"rank_dropout": 0.5}]
)
def test_settings_of_the_lora_take_effect(changes, recipe, tiny_encoders):
    one = recipe(loop={"steps": 2})
    other = recipe(name="other", loop={"steps": 2}, lora=changes)
    for config in (one, other):
        train(config, tiny_encoders)
    first, second = (read_lora(newest(config.out, OWN)).modules for config in (one, other))
    assert first.keys() != second.keys() or any(not torch.equal(first[k].up, second[k].up) for k in first)


def test_another_recipe_in_the_same_folder_is_refused(recipe, tiny_encoders):
    train(recipe(), tiny_encoders)
    with pytest.raises(ValueError, match=r"loop.learning_rate was 0.01 and is now 0.02.*--allow-change"):
        train(recipe(loop={"learning_rate": 0.02}), tiny_encoders)
    assert train(recipe(loop={"learning_rate": 0.02, "steps": 5}), tiny_encoders, allow_change=True) == 5
    assert train(recipe(loop={"learning_rate": 0.02, "steps": 6, "log_every": 3}), tiny_encoders) == 6


def test_monitors_write_pictures_and_numbers(recipe, tiny_encoders, manifest):
    rows = read_manifest(manifest)
    held = [row.model_copy(update={"id": f"{row.id}v", "split": "validation"}) for row in rows[:2]]
    write_manifest([*rows, *held], manifest)
    config = recipe(
        monitor={"samples_every": 2, "samples": 2, "sample_steps": 2, "validation_every": 4, "cfg": 2.0},
        reward={"start": 3, "size": 32, "steps": 3, "last": 2, "active": 1},
    )
    train(config, tiny_encoders)
    names = sorted(path.name for path in (config.loop.run_dir / "samples").glob("*.png"))
    assert names == ["step-0000000.png", "step-0000002.png", "step-0000004.png"]
    lines = [json.loads(line) for line in (config.loop.run_dir / "log.jsonl").read_text().splitlines()]
    found = set().union(*lines)
    assert {"validation_loss_low", "velocity_drift", "sample_style", "sample_copy", "sample_descriptor"} <= found
    assert {"reward_similarity", "flow_norm", "reward_norm", "cosine_flow_reward", "loss", "norm"} <= found
    drifts = [line["velocity_drift"] for line in lines if "velocity_drift" in line]
    assert drifts[0] == 1.0 and drifts[1] != 1.0


def test_preservation_keeps_the_velocity_without_references(recipe, tiny_encoders):
    """The first steps of two runs that differ in the term alone; only its sight of the empty prompt is held."""

    def last(name: str, weight: float) -> dict[str, float]:
        config = recipe(name=name, prior_preservation={"weight": weight}, loop={"steps": 12, "log_every": 1})
        train(config, tiny_encoders)
        return json.loads((config.loop.run_dir / "log.jsonl").read_text().splitlines()[-1])

    free, held = last("free", 1e-6), last("held", 10.0)
    assert {"prior_preservation_loss", "prior_preservation_norm", "cosine_flow_prior_preservation"} <= held.keys()
    assert held["prior_preservation_loss"] < free["prior_preservation_loss"] / 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"models": {"mini": True}, "lora": {"start": "new"}, "reward": {"start": 0}},
            "name its file, made by `uso csd`, as models.judges.csd",
        ),
        ({"stage": "style", "prior_preservation": {}}, "stage style trains none"),
        ({"memory": {"base": "fp8"}}, "needs loop.precision bf16"),
        ({"memory": {"blocks_to_swap": 1}}, "needs memory.checkpointing"),
        ({"memory": {"compile": True, "modulation": "offloaded"}}, "memory.compile needs all blocks on the GPU"),
        ({"lora": {"start": "new"}, "models": {"lora": Path(__file__)}}, "expected a LoRA file"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes, message, recipe, tiny_encoders):
    with pytest.raises(ValueError, match=message):
        train(recipe(**changes), replace(tiny_encoders, judges={}))
