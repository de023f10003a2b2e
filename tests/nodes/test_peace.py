"""Other people's nodes beside the references and their dials: they run, and the references still count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import comfy.model_patcher
import comfy.sample
import pytest
import torch
from comfy_api.torch_helpers import set_torch_compile_wrapper
from comfy_extras.nodes_differential_diffusion import DifferentialDiffusion
from comfy_extras.nodes_easycache import EasyCacheNode, LazyCacheNode
from comfy_extras.nodes_flux import FluxKVCache
from comfy_extras.nodes_model_advanced import ModelSamplingFlux
from comfy_extras.nodes_nag import NAGuidance
from comfyui_uso.nodes.apply import Apply
from comfyui_uso.nodes.sockets import Content, Style

from .control import under_control

DIALS: dict[str, dict[str, Any]] = {
    "plain": {},
    "strength": {"style_strength": 0.4, "content_strength": 1.5},
    "region": {"style_region": torch.ones(1, 8, 8).tril()},
    "range": {"style_end": 0.6, "content_start": 0.4},
    "blocks": {"style_blocks": "d0:0.3", "content_strength": 0.5, "content_form": "fast"},
}


def first(node: Any, *args: Any, **kwargs: Any) -> Any:
    return node.execute(*args, **kwargs).result[0]


OTHERS: dict[str, Callable[[Any], Any]] = {
    "EasyCache": lambda m: first(EasyCacheNode, m, 0.2, 0.1, 0.9, False),
    "LazyCache": lambda m: first(LazyCacheNode, m, 0.2, 0.1, 0.9, False),
    "NAGuidance": lambda m: first(NAGuidance, m, 5.0, 0.5, 1.5),
    "ModelSamplingFlux": lambda m: ModelSamplingFlux().patch(m, 1.15, 0.5, 1024, 1024)[0],
    "DifferentialDiffusion": lambda m: first(DifferentialDiffusion, m),
    "FluxKVCache": lambda m: first(FluxKVCache, m),
}


class OtherPatcher(comfy.model_patcher.ModelPatcher):
    """What packs with their own weight formats make of a MODEL: a patcher of their own class."""


def as_other_patcher(model: Any) -> Any:
    other = OtherPatcher(model.model, model.load_device, model.offload_device)
    other.model_options = comfy.model_patcher.create_model_options_clone(model.model_options)
    return other


@pytest.fixture(scope="module")
def style() -> Style:
    return Style(tokens=torch.randn(1, 24, 64, generator=torch.Generator().manual_seed(2)), counts=(24,))


@pytest.fixture(scope="module")
def subject() -> Content:
    return Content(latents=(torch.randn(1, 16, 4, 6, generator=torch.Generator().manual_seed(3)),))


@pytest.mark.parametrize("dials", DIALS)
@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("first_ours", [True, False])
def test_together(
    other: str, dials: str, first_ours: bool, base_model: Any, prompt: Any, sample: Any, style: Style, subject: Content
) -> None:
    def ready(style: Style | None) -> tuple[Any, Any, Any]:
        model = base_model if first_ours else OTHERS[other](base_model)
        model, *conds = Apply.execute(model, prompt(), prompt(4), style, subject, **DIALS[dials]).result
        return (OTHERS[other](model) if first_ours else model), *conds

    if (other, dials) == ("FluxKVCache", "region"):
        with pytest.raises(ValueError, match="take out that node"):
            sample(*ready(style))
        return
    with_style, without = (sample(*ready(part), cfg=3.0, batch=2) for part in (style, None))
    assert with_style.isfinite().all() and not torch.allclose(with_style, without, atol=1e-4)


@pytest.mark.parametrize("dials", DIALS)
def test_another_packs_patcher(dials: str, base_model: Any, prompt: Any, sample: Any, style: Style) -> None:
    ours = sample(*Apply.execute(base_model, prompt(), prompt(4), style, **DIALS[dials]).result)
    theirs = Apply.execute(as_other_patcher(base_model), prompt(), prompt(4), style, **DIALS[dials]).result
    assert isinstance(theirs[0], OtherPatcher) and torch.equal(sample(*theirs), ours)


@pytest.fixture
def _nothing_traced() -> None:
    """Forget other tests' traces: ComfyUI's own compiling stumbles over a MODEL without patches after one with them."""
    torch.compiler.reset()


@pytest.mark.long
@pytest.mark.usefixtures("_nothing_traced")
@pytest.mark.parametrize("dials", DIALS)
def test_compiled(dials: str, make_model: Any, prompt: Any, sample: Any, style: Style, subject: Content) -> None:
    """Compiled blocks follow a dial that is turned afterwards."""
    model, *conds = Apply.execute(make_model(), prompt(), prompt(4), style, subject, **DIALS[dials]).result
    expected = sample(model, *conds)
    compiled = model.clone()
    set_torch_compile_wrapper(compiled, backend="eager")
    assert torch.allclose(sample(compiled, *conds), expected, atol=1e-4)
    weaker = Apply.execute(compiled, prompt(), prompt(4), style, subject, style_strength=0.1).result
    plain = Apply.execute(model, prompt(), prompt(4), style, subject, style_strength=0.1).result
    assert torch.allclose(sample(*weaker), sample(*plain), atol=1e-4)


@pytest.mark.long
@pytest.mark.usefixtures("_nothing_traced")
def test_a_compiled_network_follows_every_change(
    make_model: Any, prompt: Any, sample: Any, style: Style, subject: Content
) -> None:
    """In one session, in any order: what was traced without a dial must not be taken again with it."""
    settings: list[tuple[Style | None, dict[str, Any]]] = [
        (None, {}),
        (style, {}),
        (style, DIALS["blocks"]),
        (style, {"style_blocks": "d1:0.3"}),
        (style, {"style_strength": 0.4}),
        (style, {"style_blocks": "d1:0.3", "style_end": 0.5}),
        (style, {}),
    ]
    base = make_model()
    for reference, dials in settings:
        model, *conds = Apply.execute(base, prompt(), prompt(4), reference, subject, **dials).result
        compiled = model.clone()
        set_torch_compile_wrapper(compiled, backend="eager")
        assert torch.allclose(sample(compiled, *conds), sample(model, *conds), atol=1e-4), dials


@pytest.mark.parametrize("dials", DIALS)
@pytest.mark.parametrize("shape", ["square", "row", "bool"])
def test_a_mask_of_another_node_grows(
    dials: str, shape: str, base_model: Any, prompt: Any, sample: Any, style: Style, subject: Content
) -> None:
    """Redux with a strength puts a mask for text and picture on the conditioning."""
    inner = 5 + 16
    mask = {
        "square": torch.zeros(1, inner, inner).index_fill(2, torch.tensor([4]), -2.0),
        "row": torch.zeros(1, 1, inner).index_fill(2, torch.tensor([4]), -2.0),
        "bool": torch.ones(1, inner, inner, dtype=torch.bool).index_fill(2, torch.tensor([4]), False),
    }[shape]
    with_mask = [
        [text, {**values, "attention_mask": mask, "attention_mask_img_shape": (4, 4)}] for text, values in prompt()
    ]
    outs = [
        sample(*Apply.execute(base_model, positive, prompt(4), style, subject, **DIALS[dials]).result)
        for positive in (with_mask, prompt())
    ]
    assert outs[0].isfinite().all() and not torch.allclose(*outs, atol=1e-5)


@pytest.mark.parametrize("shape", ["square", "bool"])
@pytest.mark.parametrize("style_end", [None, 0.4], ids=["no reference", "outside its range"])
def test_a_mask_of_another_node_outlives_a_text_strength(
    style_end: float | None, shape: str, base_model: Any, prompt: Any, sample: Any, style: Style
) -> None:
    """Nothing but the text's strength is set in the call, and the mask still counts."""
    inner = 5 + 16
    column = torch.tensor([4])
    added = torch.zeros(1, inner, inner).index_fill(2, column, -2.0 if shape == "square" else -1e4)
    # ComfyUI itself adds a mask of bools as ones and zeros, so those are compared with what they mean.
    mask = added if shape == "square" else torch.ones(1, inner, inner, dtype=torch.bool).index_fill(2, column, False)
    reference = {} if style_end is None else {"style": style, "style_end": style_end}

    def drawn(strength: float, mask: torch.Tensor | None) -> torch.Tensor:
        given = {} if mask is None else {"attention_mask": mask, "attention_mask_img_shape": (4, 4)}
        dials = {"text_strength": strength, **reference}
        return sample(*Apply.execute(base_model, prompt(**given), prompt(4), **dials).result)

    nearly_one = drawn(1 + 1e-6, mask)
    assert torch.allclose(nearly_one, drawn(1.0, added), atol=1e-4)
    assert not torch.allclose(nearly_one, drawn(1 + 1e-6, None), atol=1e-3)


@pytest.mark.parametrize("dials", DIALS)
def test_inpainting_keeps_what_is_outside(
    dials: str, base_model: Any, prompt: Any, style: Style, subject: Content
) -> None:
    model, *conds = Apply.execute(base_model, prompt(), prompt(4), style, subject, **DIALS[dials]).result
    latent = torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(4))
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., 4:] = 1
    out = comfy.sample.sample(
        model,
        comfy.sample.prepare_noise(latent, 7),
        2,
        1.0,
        "euler",
        "simple",
        *conds,
        latent,
        noise_mask=mask,
        disable_pbar=True,
    )
    assert torch.allclose(out[..., :4], latent[..., :4], atol=1e-4)
    assert not torch.allclose(out[..., 4:], latent[..., 4:], atol=1e-1)


@pytest.mark.parametrize("dials", DIALS)
def test_a_controlnet_counts_beside_references(
    dials: str, base_model: Any, prompt: Any, sample: Any, style: Style, subject: Content
) -> None:
    """Its additions go to the picture's tokens, whatever stands before and behind them."""
    model, positive, negative = Apply.execute(base_model, prompt(), prompt(4), style, subject, **DIALS[dials]).result
    controlled = under_control(positive)
    with_both, without_control = (sample(model, conds, negative) for conds in (controlled, positive))
    bare = under_control(prompt())
    assert with_both.isfinite().all() and not torch.allclose(with_both, without_control, atol=1e-3)
    assert not torch.allclose(with_both, sample(base_model, bare, negative), atol=1e-3)


@pytest.mark.parametrize("dials", DIALS)
def test_two_devices_share_the_prompts(
    dials: str, make_model: Any, prompt: Any, sample: Any, style: Style, subject: Content
) -> None:
    """ComfyUI's MultiGPU gives each prompt of a step to a device and a copy of the network of its own.

    Two names of the one processor stand for two cards; a count says that both networks have run.
    """
    pytest.importorskip("comfy.multigpu")
    base, second = make_model(), make_model()
    model, *conds = Apply.execute(base, prompt(), prompt(4), style, subject, **DIALS[dials]).result
    expected = sample(model, *conds, cfg=3.0)
    calls = {"first": 0, "second": 0}
    for name, network in (("first", base), ("second", second)):

        def count(*_: Any, name: str = name) -> None:
            calls[name] += 1

        network.model.diffusion_model.register_forward_pre_hook(count)
    twin = base.clone(model_override=(second.model, ({}, {}, {}, set())))
    twin.load_device = torch.device("cpu", 1)
    twin.is_multigpu_base_clone = True
    shared = model.clone()
    shared.set_additional_models("multigpu", [twin])
    assert torch.allclose(sample(shared, *conds, cfg=3.0), expected, atol=1e-5)
    assert calls["first"] == calls["second"] > 0
