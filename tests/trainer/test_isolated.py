"""Training with references that see only themselves, from the recipe to the files, and who may draw with them."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
import torch
from comfyui_uso.trainer.data.batch import Sample
from comfyui_uso.trainer.engine.randomness import StepRandom
from comfyui_uso.trainer.export.names import OWN, PROJECTOR, WITH_USO, newest
from comfyui_uso.trainer.lora.adapters import ADAPTER, add_lora, lora_from_parameters, lora_layers
from comfyui_uso.trainer.networks import build_networks
from comfyui_uso.trainer.objective.flow import draw
from comfyui_uso.trainer.objective.step import flow_matching_loss
from comfyui_uso.trainer.preflight import look
from comfyui_uso.trainer.recipe import FlowConfig
from comfyui_uso.trainer.sampler import sampling_recipe
from comfyui_uso.trainer.train import train
from comfyui_uso.uso_model.checkpoints import (
    load_projector,
    load_transformer,
    merge_lora,
    read_lora,
    read_metadata,
    read_safetensors,
    write_diffusion_model_lora,
    write_safetensors,
)
from comfyui_uso.uso_model.checkpoints.marks import ISOLATED, MARKER
from comfyui_uso.uso_model.errors import UserError
from comfyui_uso.uso_model.isolation import is_mark
from comfyui_uso.uso_model.sampling import Conditioning, velocity
from comfyui_uso.uso_model.style import StyleFeatures

ALONE = {"isolated": True, "dropout": 0.0}


@pytest.fixture
def joint(tiny_files, tiny_transformer, tmp_path):
    """Write a LoRA of joint references and return its file."""
    add_lora(tiny_transformer, rank=4)
    for layer in lora_layers(tiny_transformer).values():
        torch.nn.init.normal_(layer.lora_B[ADAPTER].weight, std=0.1)
    path = tmp_path / "joint.safetensors"
    write_diffusion_model_lora(path, lora_from_parameters(dict(tiny_transformer.named_parameters())))
    return path


@pytest.fixture
def isolated(joint, tmp_path):
    """Mark the same LoRA as one of isolated references, and return its file."""
    path = tmp_path / "isolated.safetensors"
    write_diffusion_model_lora(path, replace(read_lora(joint), isolated=True))
    return path


def test_files_say_that_references_are_isolated(recipe, tiny_encoders):
    config = recipe(conditions=ALONE, train_projector=True)
    train(config, tiny_encoders)
    own, projector = (newest(config.folder, part) for part in (OWN, PROJECTOR))
    assert read_lora(own).isolated and read_metadata(own)["uso.references"] == "isolated"
    assert read_metadata(projector)["uso.references"] == "isolated"
    marker = read_safetensors(own)[f"diffusion_model.{MARKER}"]
    assert marker.shape == (64,) and is_mark(marker)
    bare = own.with_name("bare.safetensors")
    write_safetensors(bare, {name: tensor.clone() for name, tensor in read_safetensors(own).items()})
    assert read_lora(bare).isolated, "the marker is enough"


def test_files_of_joint_references_say_nothing(joint):
    assert not read_lora(joint).isolated
    assert ISOLATED.keys().isdisjoint(read_metadata(joint)) and not any(
        "diff_b" in key for key in read_safetensors(joint)
    )


def test_training_sees_isolated_references(tiny_transformer, tiny_projector, recipe, tiny_encoders, monkeypatch):
    """Every pass with references, of the loss, of samples and of what is watched."""
    seen = []
    forward = type(tiny_transformer).forward

    def watched(self, *arguments, **named):
        if named.get("style") is not None or named.get("refs"):
            seen.append(named["isolated"])
        return forward(self, *arguments, **named)

    monkeypatch.setattr(type(tiny_transformer), "forward", watched)
    train(recipe(conditions=ALONE, monitor={"samples_every": 2, "sample_steps": 2}), tiny_encoders)
    assert len(seen) > 4 and all(seen)
    seen.clear()
    train(recipe(name="other", conditions={"dropout": 0.0}, loop={"steps": 1}), tiny_encoders)
    assert seen and not any(seen)


@pytest.mark.parametrize("start", ["continue", "add"])
def test_a_joint_lora_is_where_isolated_training_may_begin(start, joint, recipe, tiny_encoders, tiny_files):
    """The first loss is that of the isolated network with the joint LoRA's weights."""
    rank = {} if start == "continue" else {"rank": 2}
    config = recipe(
        name="warm", models={"lora": joint}, lora={"start": start, **rank}, conditions=ALONE, loop={"steps": 1}
    )
    assert any("trained with joint references; this run isolates" in note for note in look(config, False).notes)
    networks = build_networks(config, torch.device("cpu"))
    merged = load_transformer(tiny_files["transformer"], torch.float32)
    merge_lora(merged, read_lora(joint))
    plain = networks._replace(transformer=merged, projector=load_projector(tiny_files["projector"]))
    row = sample_row()
    draws = draw(FlowConfig(), [row], StepRandom(0, 0, 0, 1))
    found, wanted = (flow_matching_loss(which, [row], draws)["loss"] for which in (networks, plain))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    joint_loss = flow_matching_loss(plain._replace(isolated=False), [row], draws)["loss"]
    assert (wanted - joint_loss).abs() > 1e-4
    train(config, tiny_encoders)
    parts = [OWN] if start == "continue" else [OWN, WITH_USO]
    assert all(read_lora(newest(config.folder, part)).isolated for part in parts)


def sample_row():
    generator = torch.Generator().manual_seed(4)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    style = StyleFeatures(*(normal(4, 6) for _ in range(3)))
    return Sample("a", normal(16, 4, 4), normal(3, 8), normal(8), (style,), (), (normal(16, 4, 4),))


@pytest.mark.parametrize("start", ["continue", "add"])
def test_an_isolated_lora_is_not_trained_on_as_a_joint_one(start, isolated, recipe):
    rank = {} if start == "continue" else {"rank": 2}
    config = recipe(models={"lora": isolated}, lora={"start": start, **rank})
    sentence = "isolated.safetensors was trained with isolated references, but conditions.isolated is false"
    assert any(sentence in problem for problem in look(config, encoders=False).problems)
    with pytest.raises(UserError, match=sentence):
        build_networks(config, torch.device("cpu"))


def test_a_projector_is_not_trained_beside_a_lora_of_the_other_way(joint, recipe):
    config = recipe("style", models={"lora": joint}, lora={}, conditions=ALONE)
    with pytest.raises(UserError, match=r"trained with joint references, but conditions\.isolated is true"):
        build_networks(config, torch.device("cpu"))


def test_a_run_cannot_change_half_way(recipe, tiny_encoders):
    config = recipe(loop={"steps": 1})
    train(config, tiny_encoders)
    own = newest(config.folder, OWN)
    assert not read_lora(own).isolated and ISOLATED.keys().isdisjoint(read_metadata(own))
    assert not any("diff_b" in key for key in read_safetensors(own))
    with pytest.raises(UserError, match=r"conditions\.isolated was False and is now True"):
        train(recipe(conditions={"isolated": True}), tiny_encoders)
    with pytest.raises(UserError, match=r"conditions\.isolated=false and cannot go on with true, not even by"):
        train(recipe(conditions={"isolated": True}), tiny_encoders, allow_change=True)


def test_pictures_are_drawn_as_the_lora_says(joint, isolated, recipe, tiny_encoders, monkeypatch):
    """Whatever the recipe that names it."""
    config = recipe(name="told", conditions=ALONE, loop={"steps": 1})
    train(config, tiny_encoders)
    run = str(config.loop.run_dir)
    assert sampling_recipe(run, [], None, "--files").conditions.isolated
    for file, expected in ((joint, False), (isolated, True)):
        folder = config.loop.run_dir / f"files-{expected}"
        folder.mkdir()
        shutil.copy(file, folder / "lora.safetensors")
        assert sampling_recipe(run, [], folder, "--files").conditions.isolated == expected
    projector = newest(config.folder, PROJECTOR)
    monkeypatch.setattr("comfyui_uso.trainer.sampler._adapters", lambda *_: (None, projector))
    assert not sampling_recipe(run, [], None, "--files").conditions.isolated, "the base isolates nothing"


@torch.no_grad()
def test_velocity_passes_it_on(tiny_transformer):
    row = sample_row()
    given = Conditioning(txt=row.txt[None], vec=row.vec[None], content=(row.contents[0][None],), guidance=1.0)
    x, t = row.latent[None], torch.tensor([0.5])
    joint, alone = (velocity(tiny_transformer, replace(given, isolated=which))(x, t) for which in (False, True))
    assert (joint - alone).abs().max() > 1e-4
