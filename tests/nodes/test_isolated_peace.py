"""Isolated references beside dials and other nodes."""

from __future__ import annotations

from typing import Any

import comfy.hooks
import pytest
import torch
from comfy_extras.nodes_easycache import EasyCacheNode
from comfy_extras.nodes_flux import FluxKVCache
from comfyui_uso.nodes.apply import Apply
from comfyui_uso.nodes.mix_styles import MixStyles
from comfyui_uso.nodes.reuse import ReuseReferences
from comfyui_uso.nodes.sampling.isolated.store import store_of
from comfyui_uso.uso_model.errors import UserError

from .conftest import content
from .isolated import drawn_by_comfyui, isolated_lora, stock_loaded

half = torch.zeros(1, 8, 8)
half[..., :4] = 1


def noise() -> torch.Tensor:
    return torch.randn(2, 16, 8, 8, generator=torch.Generator().manual_seed(7))


@pytest.fixture
def draw(base_model: Any, prompt: Any, style: Any) -> Any:
    """Return a function that draws with references of its own, dials, and other nodes on the MODEL."""
    own = content((4, 4))

    def run(
        *nodes: Any,
        style: Any = style,
        subject: Any = own,
        cfg: float = 3.0,
        model: Any = None,
        **dials: Any,
    ) -> torch.Tensor:
        model = stock_loaded(base_model) if model is None else model
        patched, *conds = Apply.execute(model, prompt(), prompt(4), style, subject, **dials).result
        for node in nodes:
            patched = node(patched)
        return drawn_by_comfyui(patched, *conds, noise(), cfg)

    return run


def test_strength_2_is_every_token_twice(draw: Any, style: Any) -> None:
    """Tokens that see only themselves are the same when each of them stands there twice."""
    twice = MixStyles.execute("concat", style_1=style, style_2=style).result[0]
    assert (draw(style_strength=2.0) - draw(style=twice)).abs().max() < 1e-4
    assert (draw(style_blocks="d0-1:2, s0-1:2") - draw(style=twice)).abs().max() < 1e-4


@pytest.mark.parametrize(
    "dials",
    [
        {"style_strength": 0.5, "style_form": "fast"},
        {"style_blocks": "d0:0.5, s1:0"},
        {"style_region": half, "content_region": half.flip(-1)},
        {"content_strength": 0.3},
    ],
)
def test_dials_count(dials: dict[str, Any], draw: Any) -> None:
    assert 1e-4 < (draw(**dials) - draw()).abs().max() < 1


def test_a_region_keeps_the_reference_out_of_the_rest(draw: Any) -> None:
    nowhere = torch.zeros(1, 8, 8)
    assert (draw(style_region=nowhere, content_region=nowhere) - draw(style=None, subject=None)).abs().max() < 1e-4


def test_references_that_one_side_carries_unseen(draw: Any) -> None:
    batched = draw(style_on="positive, batched", subject=None)
    assert (batched - draw(style_on="positive", subject=None)).abs().max() < 1e-4


def test_other_nodes(draw: Any, caplog: pytest.LogCaptureFixture) -> None:
    expected = draw()
    assert torch.equal(draw(lambda model: EasyCacheNode.execute(model, 1e-9, 0.1, 0.9, False).result[0]), expected)
    with caplog.at_level("INFO"):  # the LoRA may come after the node that has nothing to do then
        late = lambda model: ReuseReferences.execute(model, 3, "linear", 1, 0, 0.0).result[0]  # noqa: E731
        assert torch.equal(draw(late), expected)


def test_a_lora_after_reuse_wins(draw: Any, base_model: Any, caplog: pytest.LogCaptureFixture) -> None:
    reusing = ReuseReferences.execute(base_model, 3, "linear", 1, 0, 0.0).result[0]
    with caplog.at_level("INFO"):
        assert torch.equal(draw(model=stock_loaded(reusing)), draw())
    assert "there is nothing left to reuse" in caplog.text
    caplog.clear()
    off = ReuseReferences.execute(reusing, 1, "linear", 1, 0, 0.0).result[0]
    with caplog.at_level("INFO"):
        draw(model=stock_loaded(off))
    assert "nothing left to reuse" not in caplog.text


def test_flux_kv_cache_is_refused(draw: Any) -> None:
    with pytest.raises(UserError, match=r"^Got Flux KV Cache on a MODEL whose LoRA has isolated references"):
        draw(lambda model: FluxKVCache.execute(model).result[0])


def test_an_isolated_lora_as_a_hook_is_refused(base_model: Any, prompt: Any, style: Any) -> None:
    patched, positive, negative = Apply.execute(base_model, prompt(), None, style).result
    hooked = comfy.hooks.set_hooks_for_conditioning(positive, comfy.hooks.create_hook_lora(isolated_lora(), 1.0, 0.0))
    with pytest.raises(UserError, match=r"^Got a LoRA with isolated references as a hook"):
        drawn_by_comfyui(patched, hooked, negative, noise())


def test_a_network_without_patches_is_told(draw: Any, base_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As packs do it that run FLUX on their own."""
    monkeypatch.setattr(base_model.model.diffusion_model, "forward", lambda x, *_, **__: torch.zeros_like(x))
    with pytest.raises(UserError, match=r"^Got a network that something \(such as Nunchaku"):
        draw()


def test_two_devices_compute_their_own(make_model: Any, prompt: Any, style: Any) -> None:
    """Two names of the one processor stand for two cards, each with a copy of the network."""
    pytest.importorskip("comfy.multigpu")
    base, second = make_model(), make_model()
    model, *conds = Apply.execute(
        stock_loaded(base), prompt(), prompt(4), style, content((4, 4)), content_on_negative=True, style_on="both"
    ).result
    expected = drawn_by_comfyui(model, *conds, noise(), 3.0)
    twin = model.clone(model_override=(second.model, ({}, {}, {}, set())))
    twin.load_device = torch.device("cpu", 1)
    twin.is_multigpu_base_clone = True
    shared = model.clone()
    shared.set_additional_models("multigpu", [twin])
    assert torch.allclose(drawn_by_comfyui(shared, *conds, noise(), 3.0), expected, atol=1e-4)
    assert store_of(second.model.diffusion_model).size > 0
