"""Every dial: no effect at its neutral value, nothing at zero, and something in between."""

from __future__ import annotations

import logging
from typing import Any

import comfy.ldm.flux.layers as flux_layers
import node_helpers
import pytest
import torch
from comfy_extras.nodes_model_patch import USOStyleReference
from comfyui_uso.nodes.apply import Apply
from comfyui_uso.nodes.graph.dials import Place
from comfyui_uso.nodes.graph.keys import CONTENT_DIALS
from comfyui_uso.nodes.sampling.attention import patch_attention
from comfyui_uso.nodes.sockets import Content, Style

from .conftest import content

ROLES = ("style", "content")


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    "dial",
    [{"strength": 1.0}, {"curve": "1, 1"}, {"blocks": "d0-1:1"}, {"form": "fast"}, {"start": 0.0, "end": 1.0}],
    ids=str,
)
def test_neutral_is_bit_equal(role: str, dial: dict[str, Any], drawn: Any) -> None:
    assert torch.equal(drawn(**{f"{role}_{name}": value for name, value in dial.items()}), drawn())


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("dial", [{"strength": 0.0}, {"curve": "0"}], ids=str)
def test_zero_is_without_the_reference(role: str, dial: dict[str, Any], drawn: Any) -> None:
    off = drawn(**{f"{role}_{name}": value for name, value in dial.items()})
    assert torch.equal(off, drawn(**{role: None}))


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    "dial", [{"blocks": "d0-1:0, s0-1:0"}, {"region": torch.zeros(1, 8, 8)}, {"strength": 1e-6}], ids=str
)
def test_hidden_everywhere_is_nearly_without_it(role: str, dial: dict[str, Any], drawn: Any) -> None:
    off = drawn(**{f"{role}_{name}": value for name, value in dial.items()})
    assert torch.allclose(off, drawn(**{role: None}), atol=1e-4)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("form", ["exact", "fast"])
def test_strength_goes_one_way(role: str, form: str, drawn: Any) -> None:
    without = drawn(**{role: None})
    away = [
        (drawn(**{f"{role}_strength": strength, f"{role}_form": form}) - without).norm().item()
        for strength in (0.05, 0.3, 1.0, 3.0)
    ]
    if form == "exact":
        assert away == sorted(away), away
    assert away[0] != away[-1]


def test_one_builds_no_mask(drawn: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    masks: list[Any] = []
    attention = flux_layers.attention
    monkeypatch.setattr(
        flux_layers, "attention", lambda *a, mask=None, **k: masks.append(mask) or attention(*a, mask=mask, **k)
    )
    drawn()
    assert masks and all(mask is None for mask in masks)
    masks.clear()
    drawn(style_strength=0.5, style_form="fast")
    assert masks and all(mask is None for mask in masks)
    drawn(style_strength=0.5)
    assert any(mask is not None for mask in masks)


@pytest.mark.parametrize("role", ROLES)
def test_outside_its_range_a_reference_costs_nothing(role: str, drawn: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[int] = []
    attention = flux_layers.attention
    monkeypatch.setattr(
        flux_layers, "attention", lambda q, *a, **k: lengths.append(q.shape[2]) or attention(q, *a, **k)
    )
    drawn(**{role: None})
    short = set(lengths)
    lengths.clear()
    drawn(**{f"{role}_end": 0.4})
    assert len(set(lengths)) == 2 and min(lengths) == min(short)


def test_a_whole_region_is_bit_equal_to_a_mask_of_ones(drawn: Any) -> None:
    assert torch.allclose(drawn(style_region=torch.ones(1, 5, 7)), drawn(), atol=1e-5)


@pytest.mark.parametrize("role", ROLES)
def test_a_region_changes_its_side_more(role: str, drawn: Any) -> None:
    region = torch.zeros(1, 16, 16)
    region[:, :, :8] = 1
    change = (drawn(**{f"{role}_region": region}, size=16) - drawn(**{role: None}, size=16)).abs().mean(dim=(0, 1, 2))
    assert change[:8].mean() > 1.2 * change[8:].mean()


@pytest.mark.parametrize("role", ROLES)
def test_single_blocks_differ_from_all(role: str, drawn: Any) -> None:
    outs = [drawn(**{f"{role}_blocks": text}) for text in ("d0:0.2", "s1:0.2", "d0-1:0.2, s0-1:0.2")]
    assert not torch.equal(outs[0], outs[1]) and not torch.equal(outs[1], outs[2])
    assert torch.allclose(outs[2], drawn(**{f"{role}_strength": 0.2}), atol=1e-5)


def test_text_strength(drawn: Any) -> None:
    assert torch.equal(drawn(text_strength=1.0), drawn())
    assert not torch.allclose(drawn(text_strength=0.3), drawn(), atol=1e-4)


def test_places(drawn: Any) -> None:
    diagonal = drawn()
    assert torch.equal(drawn(content=content((4, 4), place=Place("d", 0, 0))), diagonal)
    others = [drawn(content=content((4, 4), place=Place(side, 0, 0))) for side in ("h", "w", "o")]
    moved = drawn(content=content((4, 4), place=Place("d", 3, 0)))
    everything = [diagonal, *others, moved]
    assert all(not torch.equal(a, b) for i, a in enumerate(everything) for b in everything[:i])


def test_frames_are_one_reference_for_each_picture(drawn: Any) -> None:
    frames = content((4, 4), frames=3)
    out = drawn(content=frames, batch=3)
    single = drawn(content=Content(latents=(frames.latents[0][:1].repeat(3, 1, 1, 1),)), batch=3)
    assert torch.allclose(out[0], single[0], atol=1e-5) and not torch.allclose(out[1], single[1], atol=1e-4)


def test_the_patch_in_attention_is_there_only_where_it_is_needed(
    base_model: Any, drawn: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, patches = base_model.model.diffusion_model.forward_orig, []

    def watched(*args: Any, transformer_options: Any = None, **kwargs: Any) -> Any:
        patches.append(transformer_options["patches"])
        return forward(*args, transformer_options=transformer_options, **kwargs)

    monkeypatch.setattr(base_model.model.diffusion_model, "forward_orig", watched)
    for dials in ({}, {"style_strength": 0.5}, {"style_region": torch.ones(1, 4, 4)}):
        drawn(**dials)
    assert all("attn1_patch" not in part and len(part["post_input"]) == 1 for part in patches)
    patches.clear()
    for dials in ({"style_blocks": "d0:0.5"}, {"style_strength": 0.5, "style_form": "fast"}):
        drawn(**dials)
    assert all(part["attn1_patch"] == [patch_attention] for part in patches)


def test_a_forward_without_our_patch_is_told(
    base_model: Any, prompt: Any, sample: Any, style: Style, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    forward = base_model.model.diffusion_model.forward_orig

    def without_patches(*args: Any, transformer_options: Any = None, **kwargs: Any) -> Any:
        options = {**(transformer_options or {}), "patches": {}}
        return forward(*args, transformer_options=options, **kwargs)

    ready = Apply.execute(base_model, prompt(), prompt(4), style).result
    with caplog.at_level(logging.ERROR):
        sample(*ready)
        assert "had no effect" not in caplog.text
        monkeypatch.setattr(base_model.model.diffusion_model, "forward_orig", without_patches)
        sample(*ready)
    assert "had no effect" in caplog.text


def test_references_that_other_nodes_append_have_nothing_set(
    base_model: Any, prompt: Any, sample: Any, style: Style
) -> None:
    """ComfyUI's Set Reference Latent behind USO Apply, and USO Apply behind that."""
    first, later, last = (content((4, 4), seed=seed) for seed in (5, 6, 7))
    model, positive, negative = Apply.execute(
        base_model, prompt(), prompt(4), style, first, content_strength=0.3
    ).result
    positive = node_helpers.conditioning_set_values(positive, {"reference_latents": list(later.latents)}, append=True)
    ready = Apply.execute(model, positive, negative, content=last, content_strength=0.6).result
    assert [dial.get("strength") for dial in ready[1][0][1][CONTENT_DIALS]] == [0.3, None, 0.6]
    assert sample(model, positive, negative).isfinite().all() and sample(*ready).isfinite().all()


def test_dials_beside_the_core_style_node_are_refused(
    base_model: Any, core_projector: Any, vision_output: Any, prompt: Any, sample: Any, style: Style
) -> None:
    (model,) = USOStyleReference().apply_patch(base_model, core_projector, vision_output(9))
    assert sample(*Apply.execute(model, prompt(), prompt(4), style).result).isfinite().all()
    with pytest.raises(ValueError, match="ComfyUI's own USO style node"):
        sample(*Apply.execute(model, prompt(), prompt(4), style, style_strength=0.5).result)


def test_what_cannot_be_read_is_said(base_model: Any, prompt: Any, style: Style) -> None:
    for dials, words in (
        ({"style_start": 0.6, "style_end": 0.6}, "start < end"),
        ({"style_curve": "loud"}, "constant"),
        ({"style_blocks": "d9:1"}, "d0 to d1"),
        ({"style_blocks": "d0:-1"}, "below 0"),
        ({"style_form": "fast", "style_region": torch.ones(1, 4, 4)}, "exact"),
        ({"style_form": "fast", "style_on": "positive, batched"}, "style_form to exact"),
    ):
        with pytest.raises(ValueError, match=words):
            Apply.execute(base_model, prompt(), None, style, **dials)
