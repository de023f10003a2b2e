"""References on CONDITIONING: a MODEL that a node of ours has held reads them, any other says so in one sentence."""

from __future__ import annotations

import copy
import io
from typing import Any

import comfy.sampler_helpers
import comfy.samplers
import comfy_extras.nodes_custom_sampler as custom
import pytest
import torch
from comfy_extras.nodes_model_merging import ModelMergeSimple
from comfyui_uso.nodes.apply import Apply
from comfyui_uso.nodes.graph.conditioning import with_content
from comfyui_uso.nodes.graph.dials import Dial, Place
from comfyui_uso.nodes.graph.keys import MODEL_CONDS
from comfyui_uso.nodes.sampler import Sampler
from comfyui_uso.nodes.sampling.reader import install_reader
from comfyui_uso.nodes.sockets import Style
from comfyui_uso.uso_model.errors import UserError

import nodes as comfy_nodes

from .conftest import content

LEFT = torch.zeros(1, 32, 32)
LEFT[..., :16] = 1

SETTINGS: dict[str, dict[str, Any]] = {
    "none": {},
    "strength": {"style_strength": 0.5, "content_strength": 2.0},
    "blocks": {"style_blocks": "d0:0.5, s1:2", "content_blocks": "d1:0"},
    "fast": {"style_strength": 0.7, "style_form": "fast"},
    "start": {"style_start": 0.3},
    "curve": {"style_curve": "1, 0.5, 0.2"},
    "text": {"text_strength": 3.0},
    "batched": {"style_on": "positive, batched", "content_on_negative": True},
    "region": {"style_region": LEFT, "content_region": 1 - LEFT},
    "place": {"content": content((4, 4), place=Place("o", 1, 2))},
}


@pytest.fixture(params=SETTINGS)
def applied(request: pytest.FixtureRequest, base_model: Any, prompt: Any, style: Style) -> Any:
    """Return MODEL, positive and negative of one setting."""
    dials = {"content": content((4, 4)), **SETTINGS[request.param]}
    return Apply.execute(base_model, prompt(), prompt(4), style, **dials).result


def lora(model: Any) -> Any:
    """Return a clone of a MODEL with a weight changed, as ComfyUI's LoRA loaders change it."""
    changed = model.clone()
    key = "diffusion_model.double_blocks.0.img_attn.proj.weight"
    weight = changed.model.state_dict()[key]
    changed.add_patches({key: (torch.full_like(weight, 0.01),)}, 1.0)
    return changed


def test_a_model_that_none_of_our_nodes_has_held_is_told(applied: Any, base_model: Any, sample: Any) -> None:
    _, positive, negative = applied
    for model in (base_model, lora(base_model)):
        with pytest.raises(UserError, match=r"a MODEL that cannot read it, expected .* connect the sampler's model"):
            sample(model, positive, negative, cfg=3.0)


@pytest.mark.parametrize("sides", ["positive", "negative"])
def test_either_side_is_guarded(sides: str, base_model: Any, prompt: Any, style: Style, sample: Any) -> None:
    _, positive, negative = Apply.execute(base_model, prompt(), prompt(4), style, style_on=sides).result
    with pytest.raises(UserError, match="a MODEL that cannot read it"):
        sample(base_model, positive, negative, cfg=3.0)


def test_any_model_with_a_reader_draws_the_same(applied: Any, base_model: Any, sample: Any) -> None:
    model, positive, negative = applied
    expected = sample(model, positive, negative, cfg=3.0)
    assert torch.equal(sample(install_reader(base_model), positive, negative, cfg=3.0), expected), "a loader's MODEL"
    assert torch.equal(sample(install_reader(model).clone(), positive, negative, cfg=3.0), expected)


def test_every_sampler_reads(base_model: Any, prompt: Any, style: Style) -> None:
    """KSampler, SamplerCustomAdvanced and USO Sampler with the same noise, steps and sigmas; twice in one graph."""
    model, positive, negative = Apply.execute(base_model, prompt(guidance=4.0), prompt(4), style).result
    latent = {"samples": torch.zeros(1, 16, 8, 8)}
    (by_ksampler,) = comfy_nodes.KSampler().sample(model, 7, 2, 1.0, "euler", "simple", positive, negative, latent)
    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "simple", 2)
    noise = custom.RandomNoise.execute(7).result[0]
    guider = custom.BasicGuider.execute(model, positive).result[0]
    euler = comfy.samplers.sampler_object("euler")
    by_guider = custom.SamplerCustomAdvanced.execute(noise, guider, euler, sigmas, latent).result[0]
    assert torch.equal(by_guider["samples"], by_ksampler["samples"])
    settings = {"seed": 7, "steps": 2, "guidance": 4.0, "cfg": 1.0, "sampler_name": "euler"}
    official = {"schedule": "official", "mu": 1.15, "denoise": 1.0, **settings}
    ours = [Sampler.execute(each, positive, latent, **official).result[0]["samples"] for each in (base_model, model)]
    assert torch.equal(*ours), "USO Sampler holds a MODEL, so it reads with any"
    bare = Sampler.execute(base_model, prompt(guidance=4.0), latent, **official).result[0]["samples"]
    assert not torch.allclose(ours[0], bare, atol=1e-3)
    (again,) = comfy_nodes.KSampler().sample(model, 7, 2, 1.0, "euler", "simple", positive, negative, latent)
    assert torch.equal(again["samples"], by_ksampler["samples"]), "a second sampler in the same graph"


def test_loras_and_merges_keep_the_reader(
    base_model: Any, make_model: Any, prompt: Any, style: Style, sample: Any
) -> None:
    after, positive, negative = Apply.execute(lora(base_model), prompt(), prompt(4), style).result
    before = lora(Apply.execute(base_model, prompt(), prompt(4), style).result[0])
    assert torch.equal(sample(before, positive, negative), sample(after, positive, negative))
    other = make_model(seed=3)
    merged = [ModelMergeSimple().merge(*pair, 0.5)[0] for pair in ((after, other), (other, after))]
    assert sample(merged[0], positive, negative).isfinite().all()
    with pytest.raises(UserError, match="a MODEL that cannot read it"):
        sample(merged[1], positive, negative)  # it is a clone of the one that no node of ours has held


def test_nothing_on_the_conditioning_makes_comfyui_load_a_second_copy(
    applied: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, positive, negative = applied
    assert not any(comfy.sampler_helpers.cond_has_hooks(side) for side in (positive, negative))
    monkeypatch.setattr(type(model), "is_dynamic", lambda self: True)
    monkeypatch.setattr(
        type(model), "get_non_dynamic_delegate", lambda self: pytest.fail("a second copy"), raising=False
    )
    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(positive, negative)
    assert guider.model_patcher is model


def test_plain_sampling_is_left_alone(base_model: Any, prompt: Any, sample: Any) -> None:
    plain = sample(base_model, prompt(), prompt(4), 2, 3.0)
    assert torch.equal(sample(install_reader(base_model), prompt(), prompt(4), 2, 3.0), plain)


def test_references_that_do_not_fit_the_model_are_told_by_the_reader(
    base_model: Any, make_model: Any, prompt: Any, style: Style, sample: Any
) -> None:
    """Nodes without a MODEL cannot know it."""
    _, positive, _ = Apply.execute(base_model, prompt(), None, style).result
    with pytest.raises(UserError, match="style tokens of width 64 for a MODEL of width 128"):
        sample(install_reader(make_model(hidden=128)), positive, prompt(4))
    wrong = [[positive[0][0], {**positive[0][1], "reference_latents": [torch.zeros(1, 4, 4, 4)]}]]
    with pytest.raises(UserError, match="content latent with 4 channels, expected 16"):
        sample(install_reader(base_model), wrong, prompt(4))


def test_copies_keep_the_guard_and_files_leave_it_out(applied: Any, base_model: Any, sample: Any) -> None:
    _, positive, negative = applied
    positive = [entry for entry in positive if MODEL_CONDS in entry[1]]
    for copying in (copy.copy, copy.deepcopy):
        copied = [[text, {**values, MODEL_CONDS: copying(values[MODEL_CONDS])}] for text, values in positive]
        with pytest.raises(UserError, match="a MODEL that cannot read it"):
            sample(base_model, copied, negative)
    file = io.BytesIO()
    torch.save(positive, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=True)
    assert all(values[MODEL_CONDS] == {} for _, values in loaded)
    reads = install_reader(base_model)
    assert torch.equal(sample(reads, loaded, negative, cfg=3.0), sample(reads, positive, negative, cfg=3.0))


def test_the_first_step_tells_of_a_reference_that_counts_later(
    base_model: Any, prompt: Any, style: Style, batches: list[int], sample: Any
) -> None:
    _, positive, negative = Apply.execute(base_model, prompt(), prompt(4), style, style_start=0.9).result
    with pytest.raises(UserError, match="a MODEL that cannot read it"):
        sample(base_model, positive, negative)
    assert batches == []


def test_a_subject_without_dials_is_checked_too(make_model: Any, prompt: Any, sample: Any) -> None:
    fill = install_reader(make_model(in_channels=96))
    positive = with_content(prompt(), Dial(), content=content((4, 4)))
    with pytest.raises(UserError, match=r"FLUX\.1 Fill"):
        sample(fill, positive, prompt(4))
