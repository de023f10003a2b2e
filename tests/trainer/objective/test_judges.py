"""Any judge rewards: by style or by subject, alone or several with weights, and the gradient stops at none of them."""

from __future__ import annotations

from functools import cache

import pytest
import torch
import torch.nn.functional as F
from comfyui_uso.trainer.encoders import PictureJudge
from comfyui_uso.trainer.encoders.judges import compares_with
from comfyui_uso.trainer.engine.randomness import StepRandom
from comfyui_uso.trainer.networks import Networks
from comfyui_uso.trainer.objective.reward import RewardObjective
from comfyui_uso.trainer.recipe import ConditionsConfig, RewardConfig
from comfyui_uso.uso_model.judging.clip import Clip
from comfyui_uso.uso_model.judging.csd import StyleDescriptor
from comfyui_uso.uso_model.judging.dino import CARDS, Dino
from comfyui_uso.uso_model.judging.style_encoder import StyleEncoder
from torch import nn

BLANK = torch.full((3, 8), 0.3), torch.full((8,), -0.2)
SMALL = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}


def open_clip_network() -> nn.Module:
    import open_clip

    vision = {"image_size": 224, "layers": 1, "width": 64, "head_width": 32, "patch_size": 56}
    text = {"context_length": 8, "vocab_size": 8, "width": 32, "heads": 2, "layers": 1}
    return open_clip.CLIP(16, vision, text, quick_gelu=True)


@cache
def judge_of(name: str) -> nn.Module:
    """Return a judge of small random weights, as the registry's loaders leave it: frozen."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection, ViTConfig, ViTModel

    torch.manual_seed(3)
    if name == "clip":
        made: nn.Module = Clip(open_clip_network())
    elif name == "csd":
        tower = open_clip_network().visual
        tower.proj = None
        made = StyleDescriptor(tower, 64, 16)
        made.last_layer_style = nn.Parameter(torch.randn(64, 16))
    elif name == "dino":
        made = Dino(CARDS["dino"], ViTModel(ViTConfig(**SMALL, patch_size=56), add_pooling_layer=False))
    else:
        settings = CLIPVisionConfig(**SMALL, patch_size=56, projection_dim=16)
        made = StyleEncoder(CLIPVisionModelWithProjection(settings))
    return made.eval().requires_grad_(False)


def picture_judge(name: str) -> PictureJudge:
    return PictureJudge(judge_of(name).embed_pixels, compares_with(judge_of(name).card), name)


@pytest.fixture
def rewarded(adapted, tiny_projector, decoder):
    """Return a function that makes the objective of judges with their weights, or other settings."""

    def make(judges, dropout=0.0, **changes):
        values = {"start": 0, "size": 32, "steps": 3, "last": 2, "judges": judges, **changes}
        opened = {name: picture_judge(name) for name in judges}
        conditions = ConditionsConfig(dropout=dropout, mode="independent")
        networks = Networks(adapted, tiny_projector)
        return RewardObjective(networks, decoder, opened, RewardConfig.model_validate(values), conditions, BLANK)

    return make


@pytest.fixture
def row(sample):
    """Return a function that makes a row with a reference vector for each judge that has its reference."""

    def make(seed, *judges, style=True, content=True):
        there = {"style": style, "content": content}
        found = {}
        for name in judges:
            if there[picture_judge(name).against]:
                generator = torch.Generator().manual_seed(seed)
                pixels = torch.rand(1, 3, 40, 48, generator=generator) * 2 - 1
                found[name] = picture_judge(name).embed(pixels)[0]
        return sample(seed, style=style, content=content)._replace(descriptors=found)

    return make


@pytest.mark.parametrize("name", ["csd", "style_encoder", "dino", "clip"])
def test_the_gradient_passes_every_judge_and_reaches_lora_and_projector_only(
    name, rewarded, row, adapted, tiny_projector, decoder
):
    parts = {"transformer": adapted, "projector": tiny_projector, "decoder": decoder, "judge": judge_of(name)}
    everything = {f"{part}.{n}": p for part, network in parts.items() for n, p in network.named_parameters()}
    rewarded({name: 1.0}).losses([row(1, name)], StepRandom(0, 0, 0, 1))["loss"].backward()
    reached = {n for n, p in everything.items() if p.grad is not None and p.grad.abs().sum() > 0}
    assert reached == {n for n in everything if "lora_" in n or n.startswith("projector.")}


def test_several_judges_add_up_with_their_weights_and_are_logged_apart(rewarded, row, adapted):
    weights = {"csd": 0.5, "dino": 2.0}
    trained = [p for p in adapted.parameters() if p.requires_grad]
    random = StepRandom(0, 4, 0, 2)
    both = rewarded(weights).losses([row(n, *weights) for n in (1, 2)], random)
    gradient = torch.autograd.grad(both["loss"], trained)
    single = {
        name: rewarded({name: weight}).losses([row(n, name) for n in (1, 2)], random)
        for name, weight in weights.items()
    }
    assert torch.allclose(both["loss"], sum(one["loss"] for one in single.values()), atol=1e-6)
    assert {f"similarity_{name}": one["similarity"] for name, one in single.items()} == {
        key: value for key, value in both.items() if key.startswith("similarity")
    }
    parts = [torch.autograd.grad(one["loss"], trained) for one in single.values()]
    assert all(torch.allclose(g, a + b, atol=1e-6) for g, a, b in zip(gradient, *parts, strict=True))


def test_a_judge_leaves_out_the_rows_that_lack_its_reference(rewarded, row):
    weights = {"csd": 1.0, "dino": 1.0}
    rows = [row(1, *weights), row(2, *weights, style=False), row(3, *weights, content=False)]
    rows.append(row(4, *weights, style=False, content=False))
    both = rewarded(weights).losses(rows, StepRandom(0, 0, 0, 4))
    alone = rewarded({"dino": 1.0}).losses([row(2, "dino", style=False)], StepRandom(0, 0, 1, 1))
    assert torch.allclose(both["rows"][1], alone["rows"][0], atol=1e-5) and both["rows"][3] == 0
    assert both["rows"][0] > both["rows"][1:].max() and torch.allclose(both["loss"], both["rows"].mean())
    assert rewarded({"dino": 1.0}).losses([row(1, "dino", content=False)], StepRandom(0, 0, 0, 1)) == {}


@pytest.mark.parametrize(("name", "lost"), [("csd", {"contents": ()}), ("dino", {"styles": ()})])
def test_what_a_judge_compares_with_is_never_dropped(name, lost, rewarded, row):
    one, random = row(1, name), StepRandom(0, 0, 0, 1)
    always = rewarded({name: 1.0}, dropout=1.0).losses([one], random)
    without = rewarded({name: 1.0}).losses([one._replace(**lost)], random)
    assert torch.equal(always["loss"], without["loss"])


def test_a_margin_of_its_own_and_the_common_one(rewarded, row):
    rows, random = [row(1, "csd", "dino")], StepRandom(0, 0, 0, 1)
    judges = {"csd": {"weight": 1.0, "margin": -1.0}, "dino": {"weight": 3.0}}
    found = rewarded(judges, margin=0.9).losses(rows, random)
    assert torch.allclose(found["loss"], 3 * F.relu(0.9 - found["similarity_dino"]), atol=1e-6)
