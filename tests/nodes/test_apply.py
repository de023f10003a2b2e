"""References on the conditioning, against ComfyUI's own USO nodes on the same weights."""

from __future__ import annotations

from typing import Any

import comfy.conds
import node_helpers
import pytest
import torch
from comfy_extras.nodes_model_patch import USOStyleReference
from comfyui_uso.nodes.apply import Apply
from comfyui_uso.nodes.graph.keys import COUNTS, STYLE
from comfyui_uso.nodes.sampling.reader import has_reader, install_reader
from comfyui_uso.nodes.sockets import Content, Style
from comfyui_uso.nodes.style import ProjectStyle

from .conftest import content


def test_tokens_are_the_projectors(features: Any, core_projector: Any, make_projector: Any, vision_output: Any) -> None:
    states = vision_output(2)
    stack = torch.stack(
        [states.all_hidden_states[:, -20], states.all_hidden_states[:, -11], states.penultimate_hidden_states]
    )
    expected = core_projector.model(stack)
    core = ProjectStyle.execute(features(2), core_projector).result[0]
    ours = ProjectStyle.execute(features(2), make_projector(ours=True)).result[0]
    assert torch.equal(core.tokens, expected) and core.counts == (192,)
    assert torch.equal(ours.tokens, expected)
    assert torch.equal(make_projector(ours=True).model(stack), expected), "ComfyUI's style node calls ours this way"


def test_several_pictures_are_joined(features: Any, core_projector: Any) -> None:
    both = ProjectStyle.execute(features(2, 9), core_projector).result[0]
    singles = [ProjectStyle.execute(features(seed), core_projector).result[0].tokens for seed in (2, 9)]
    assert both.counts == (192, 192)
    assert torch.equal(both.tokens, torch.cat(singles, dim=1))


def test_nothing_connected_changes_nothing(base_model: Any, prompt: Any) -> None:
    positive, negative = prompt(), prompt(4)
    out = Apply.execute(base_model, positive, negative).result
    assert has_reader(out[0]) and out[1] is positive and out[2] is negative


def test_inputs_are_left_alone(base_model: Any, prompt: Any, style: Style) -> None:
    positive, negative = prompt(), prompt(4)
    before = dict(positive[0][1])
    model, new, same = Apply.execute(base_model, positive, negative, style, content((4, 4))).result
    assert positive[0][1] == before and same is negative
    assert model is not base_model and not has_reader(base_model)
    assert torch.equal(new[0][1][STYLE], style.tokens) and new[0][1][COUNTS] == (192,)
    assert new[0][1]["reference_latents_method"] == "uxo"


def test_missing_negative_becomes_an_empty_one(base_model: Any, prompt: Any, style: Style) -> None:
    positive = prompt(reference_latents=[torch.zeros(1, 16, 4, 4)])
    negative = Apply.execute(base_model, positive, None, style).result[2]
    assert not negative[0][0].any() and not negative[0][1]["pooled_output"].any()
    assert set(negative[0][1]) == {"pooled_output", "guidance"} and negative[0][1]["guidance"] == 3.5


def test_content_alone_needs_no_reader(base_model: Any, prompt: Any, sample: Any) -> None:
    model, positive, negative = Apply.execute(
        base_model, prompt(), prompt(4), content=content((4, 6), (6, 4)), content_on_negative=True
    ).result
    assert torch.equal(sample(base_model, positive, negative), sample(model, positive, negative))
    for conditioning in (positive, negative):
        assert [tuple(latent.shape[2:]) for latent in conditioning[0][1]["reference_latents"]] == [
            (4, 6),
            (6, 4),
        ]


@pytest.mark.parametrize("references", ["style", "content", "both", "two styles", "two contents"])
def test_equal_to_the_core_nodes(
    references: str,
    base_model: Any,
    core_projector: Any,
    prompt: Any,
    sample: Any,
    features: Any,
    vision_output: Any,
) -> None:
    seeds = {"style": [2], "both": [2], "two styles": [2, 9]}.get(references, [])
    sizes = {"content": [(4, 6)], "both": [(4, 6)], "two contents": [(4, 6), (6, 4)]}.get(references, [])
    negative = prompt(4)

    core_model, core_positive = base_model, prompt()
    for seed in reversed(seeds):  # the core node puts later styles first
        (core_model,) = USOStyleReference().apply_patch(core_model, core_projector, vision_output(seed))
    for latent in content(*sizes).latents:
        core_positive = node_helpers.conditioning_set_values(
            core_positive, {"reference_latents": [latent]}, append=True
        )
    if sizes:
        core_positive = node_helpers.conditioning_set_values(core_positive, {"reference_latents_method": "uxo"})
    expected = sample(core_model, core_positive, negative)

    style = ProjectStyle.execute(features(*seeds), core_projector).result[0] if seeds else None
    model, positive, negative = Apply.execute(
        base_model, prompt(), negative, style, content(*sizes) if sizes else None
    ).result
    assert torch.equal(sample(model, positive, negative), expected)
    assert not torch.allclose(expected, sample(base_model, prompt(), prompt(4)), atol=1e-3)


@pytest.mark.parametrize("batch", [1, 2, 4])
@pytest.mark.parametrize("cfg", [1.0, 3.0])
@pytest.mark.parametrize("negative_length", [5, 7])
def test_batches_and_guidance(
    batch: int, cfg: float, negative_length: int, base_model: Any, prompt: Any, sample: Any, style: Style
) -> None:
    model, positive, negative = Apply.execute(
        base_model, prompt(), prompt(4, negative_length), style, content((4, 4))
    ).result
    out = sample(model, positive, negative, batch, cfg)
    assert out.shape[0] == batch and out.isfinite().all()
    if batch == 1:
        return
    plain = sample(base_model, prompt(), prompt(4, negative_length), batch, cfg)
    assert all(not torch.allclose(a, b, atol=1e-3) for a, b in zip(out, plain, strict=True)), (
        "every picture gets the style"
    )


def test_batch_is_the_single_pictures(base_model: Any, prompt: Any, style: Style) -> None:
    import comfy.sample

    model, positive, negative = Apply.execute(base_model, prompt(), prompt(4), style).result
    noise = torch.randn(2, 16, 8, 8, generator=torch.Generator().manual_seed(1))
    outs = [
        comfy.sample.sample(
            model,
            part,
            2,
            1.0,
            "euler",
            "simple",
            positive,
            negative,
            torch.zeros_like(part),
            disable_pbar=True,
        )
        for part in (noise, noise[:1], noise[1:])
    ]
    assert torch.allclose(outs[0], torch.cat(outs[1:]), atol=1e-5)


def test_style_on_both_conditionings_runs_in_one_batch(
    base_model: Any, prompt: Any, sample: Any, style: Style, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, positive, _ = Apply.execute(base_model, prompt(), None, style).result
    _, negative, _ = Apply.execute(base_model, prompt(4), None, style).result
    forward, batches = base_model.model.diffusion_model.forward_orig, []
    monkeypatch.setattr(
        base_model.model.diffusion_model,
        "forward_orig",
        lambda img, *a, **k: batches.append(img.shape[0]) or forward(img, *a, **k),
    )
    assert sample(model, positive, negative, 2, 3.0).isfinite().all()
    assert batches == [4, 4]


def test_chained_nodes_append(base_model: Any, prompt: Any, sample: Any, features: Any, core_projector: Any) -> None:
    styles = [ProjectStyle.execute(features(seed), core_projector).result[0] for seed in (2, 9)]
    joined = ProjectStyle.execute(features(2, 9), core_projector).result[0]
    both = content((4, 6), (6, 4))
    parts = [Content(latents=(latent,)) for latent in both.latents]
    model, positive, negative = Apply.execute(base_model, prompt(), prompt(4), styles[0], parts[0]).result
    again, positive, negative = Apply.execute(model, positive, negative, styles[1], parts[1]).result
    assert again is model, "the reader is installed once"
    assert positive[0][1][COUNTS] == (192, 192)
    expected = Apply.execute(base_model, prompt(), prompt(4), joined, both).result
    assert torch.equal(sample(again, positive, negative), sample(*expected))


def test_the_reader_is_installed_once(base_model: Any) -> None:
    once = install_reader(base_model)
    assert install_reader(once.clone()).get_wrappers("outer_sample", "uso") == once.get_wrappers("outer_sample", "uso")
    assert len(once.get_wrappers("outer_sample", "uso")) == len(once.get_wrappers("apply_model", "uso")) == 1
    assert "patches" not in once.model_options["transformer_options"], "packs walk through patches"


def test_core_style_before_and_after(
    base_model: Any,
    core_projector: Any,
    prompt: Any,
    sample: Any,
    style: Style,
    vision_output: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (core,) = USOStyleReference().apply_patch(base_model, core_projector, vision_output(9))
    before = sample(*Apply.execute(core, prompt(), prompt(4), style).result)
    assert "ComfyUI's own USO style node" in caplog.text
    model, positive, negative = Apply.execute(base_model, prompt(), prompt(4), style).result
    after = sample(USOStyleReference().apply_patch(model, core_projector, vision_output(9))[0], positive, negative)
    assert torch.allclose(before, after, atol=1e-5), "the order of style tokens does not matter"


def test_regions_with_their_own_styles(
    base_model: Any, prompt: Any, sample: Any, features: Any, core_projector: Any
) -> None:
    left = torch.zeros(1, 64, 64)
    left[..., :32] = 1
    model, positive = base_model, []
    for seed, mask in ((2, left), (9, 1 - left)):
        style = ProjectStyle.execute(features(seed), core_projector).result[0]
        model, part, _ = Apply.execute(model, prompt(mask=mask, mask_strength=1.0), None, style).result
        positive += part
    out = sample(model, positive, prompt(4), 2, 3.0)
    assert out.shape[0] == 2 and out.isfinite().all()
    swapped = sample(
        model,
        [
            [positive[0][0], {**positive[0][1], "mask": 1 - left}],
            [positive[1][0], {**positive[1][1], "mask": left}],
        ],
        prompt(4),
        2,
        3.0,
    )
    assert not torch.allclose(out, swapped, atol=1e-3)


def test_timestep_range(base_model: Any, prompt: Any, sample: Any, style: Style) -> None:
    model, late, negative = Apply.execute(base_model, prompt(start_percent=0.3), prompt(4), style).result
    early = prompt(end_percent=0.2999)
    out = sample(model, early + late, negative)
    assert not torch.allclose(out, sample(base_model, prompt(), negative), atol=1e-3)


def test_nag(base_model: Any, prompt: Any, sample: Any, style: Style) -> None:
    from comfy_extras.nodes_nag import NAGuidance

    model, positive, _ = Apply.execute(base_model, prompt(), None, style).result
    nag = NAGuidance.execute(model, 5.0, 0.5, 1.5).result[0]
    assert sample(nag, positive, prompt(4), 2).isfinite().all()
    _, negative, _ = Apply.execute(base_model, prompt(4), None, style).result
    assert not torch.allclose(sample(nag, positive, negative), sample(model, positive, negative), atol=1e-3)


def test_easycache(base_model: Any, prompt: Any, sample: Any, style: Style) -> None:
    from comfy_extras.nodes_easycache import EasyCacheNode

    model, positive, negative = Apply.execute(base_model, prompt(), prompt(4), style, content((4, 4))).result
    cached = EasyCacheNode.execute(model, 0.2, 0.15, 0.95, False).result[0]
    assert sample(cached, positive, negative).isfinite().all()


def test_removing_the_node_restores_the_model(base_model: Any, prompt: Any, sample: Any, style: Style) -> None:
    before = sample(base_model, prompt(), prompt(4))
    model, positive, negative = Apply.execute(base_model, prompt(), prompt(4), style, content((4, 4))).result
    styled = sample(model, positive, negative)
    assert torch.equal(sample(base_model, prompt(), prompt(4)), before)
    assert torch.equal(sample(model, prompt(), prompt(4)), before), "a reader without a style does nothing"
    assert torch.equal(sample(model, positive, negative), styled)


def test_tokens_move_once_per_run(
    base_model: Any, prompt: Any, sample: Any, style: Style, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    original = comfy.conds.CONDRegular.__init__
    monkeypatch.setattr(
        "comfyui_uso.nodes.sampling.plan.CONDRegular",
        type(
            "Counted",
            (comfy.conds.CONDRegular,),
            {
                "__init__": lambda self, cond: made.append(cond) or original(self, cond),
                "_copy_with": lambda self, cond: comfy.conds.CONDRegular(cond),
            },
        ),
    )
    model, positive, negative = Apply.execute(base_model, prompt(), prompt(4), style).result
    sample(model, positive, negative)
    assert len(made) == 1 and made[0].data_ptr() == style.tokens.data_ptr()


def test_half_precision_model(make_model: Any, prompt: Any, sample: Any, style: Style) -> None:
    model = make_model()
    model.model.diffusion_model.to(torch.bfloat16)
    model.model.diffusion_model.dtype = torch.bfloat16
    assert sample(*Apply.execute(model, prompt(), prompt(4), style).result).isfinite().all()
