"""References reused beside caches of others, several cards, torch.compile and networks that others run."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
from comfy.patcher_extension import WrappersMP
from comfy_extras.nodes_easycache import EasyCacheNode, LazyCacheNode
from comfy_extras.nodes_flux import FluxKVCache
from comfyui_uso.nodes.apply import Apply
from comfyui_uso.uso_model.errors import UserError

from .conftest import content
from .control import under_control
from .reused import counting, held, longest_steps, reusing, sampled, small, step_of

STEPS = 8


@pytest.fixture
def referenced(base_model: Any, prompt: Any, style: Any) -> Any:
    """Return MODEL, positive and negative; the prompt has a style and a subject."""
    return Apply.execute(base_model, prompt(), prompt(4), small(style), content((4, 4))).result


@pytest.mark.parametrize("last", ["reuse", "cache"])
def test_flux_kv_cache_is_refused(last: str, referenced: Any) -> None:
    model, positive, negative = referenced
    if last == "reuse":
        model = reusing(FluxKVCache.execute(model).result[0])
    else:
        model = FluxKVCache.execute(reusing(model)).result[0]
    with pytest.raises(UserError, match=r"Got USO Reuse References together with Flux KV Cache.*expected one of them"):
        sampled(model, positive, negative)


@pytest.mark.parametrize("node", [EasyCacheNode, LazyCacheNode])
def test_steps_that_another_cache_leaves_out(node: Any, referenced: Any) -> None:
    """Nothing is kept of them, and what is kept grows no older than it may."""
    model, positive, negative = referenced
    lengths: list[tuple[int, int]] = []
    options = {"steps": STEPS, "cfg": 2.0}

    def cached(inner: Any) -> Any:
        return node.execute(inner, 5.0, 0.3, 0.95, False).result[0]

    exact = sampled(cached(counting(model, lengths)), positive, negative, **options)
    computed = sorted({step for step, _ in lengths})
    assert 2 < len(computed) < STEPS
    same = sampled(cached(reusing(model, every=100, first=100)), positive, negative, **options)
    assert torch.equal(same, exact)
    lengths.clear()
    reused = sampled(cached(reusing(counting(model, lengths), every=3)), positive, negative, **options)
    refreshed = longest_steps(lengths)
    assert refreshed[:2] == [0, 1] and len(refreshed) < len({step for step, _ in lengths})
    assert (reused - exact).abs().max() < 0.1 * exact.abs().max()


def test_a_network_without_patches_is_computed_whole(referenced: Any, caplog: pytest.LogCaptureFixture) -> None:
    """As Nunchaku runs it: its own forward, which calls no patch inside attention."""
    model, positive, _ = referenced

    def forward(executor: Any, *args: Any, **kwargs: Any) -> Any:
        *inputs, options = args
        patches = {kind: parts for kind, parts in options["patches"].items() if kind != "attn1_patch"}
        return executor(*inputs, {**options, "patches": patches}, **kwargs)

    other = model.clone()
    other.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "other", forward)
    with caplog.at_level(logging.WARNING):
        exact = sampled(other, positive)
        assert "Reuse" not in caplog.text
        assert torch.equal(sampled(reusing(other), positive), exact)
    assert caplog.text.count("USO Reuse References had no effect") == 1


def test_a_controlnet_counts_on_the_steps_between(referenced: Any) -> None:
    model, positive, negative = referenced
    controlled, options = under_control(positive), {"steps": STEPS, "cfg": 2.0}
    reused = sampled(reusing(model), controlled, negative, **options)
    assert (reused - sampled(held(model), controlled, negative, **options)).abs().max() < 2e-5
    assert (reused - sampled(reusing(model), positive, negative, **options)).abs().max() > 1e-2


def test_blocks_that_others_leave_out(referenced: Any) -> None:
    """A step in which not every block ran is not kept."""
    model, positive, _ = referenced
    lengths: list[tuple[int, int]] = []

    def skip(args: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
        early = step_of(args["transformer_options"]) < 4
        return {"img": args["img"]} if early else extra["original_block"](args)

    other = counting(model, lengths)
    other.set_model_patch_replace(skip, "dit", "single_block", 1)
    sampled(reusing(other, every=100), positive, steps=STEPS)
    assert longest_steps(lengths) == [0, 1, 2, 3, 4, 5]


def test_tokens_that_others_add(referenced: Any) -> None:
    """What stands where our references would stand is not taken for them."""
    model, positive, _ = referenced

    def add(inputs: dict[str, Any]) -> dict[str, Any]:
        inputs["txt"] = torch.cat([torch.ones_like(inputs["txt"][:, :3]), inputs["txt"]], dim=1)
        ids = inputs["txt_ids"]
        inputs["txt_ids"] = torch.cat([ids.new_zeros(len(ids), 3, ids.shape[2]), ids], dim=1)
        return inputs

    other = model.clone()
    other.set_model_post_input_patch(add)
    assert torch.equal(sampled(reusing(other, every=100), positive), sampled(other, positive))


def test_several_cards(referenced: Any, make_model: Any, prompt: Any, style: Any) -> None:
    """ComfyUI's clones on other cards, each with a thread of its own; here both are the processor."""
    multigpu = pytest.importorskip("comfy.multigpu")  # older ones know one card
    model, positive, _ = referenced
    _, negative, _ = Apply.execute(model, prompt(4), None, small(style), content((4, 6), seed=8)).result
    clone = make_model()
    places = {torch.device("cpu"): model, torch.device("cpu", 0): clone}
    clone.model.current_patcher = clone

    def spread(executor: Any, guider: Any, sigmas: Any, extra_args: Any, *args: Any) -> Any:
        pool = multigpu.MultiGPUThreadPool(list(places))
        extra_args["model_options"] |= {"multigpu_clones": places, "multigpu_thread_pool": pool}
        try:
            return executor(guider, sigmas, extra_args, *args)
        finally:
            pool.shutdown()

    several = reusing(model)
    several.add_wrapper_with_key(WrappersMP.SAMPLER_SAMPLE, "cards", spread)
    alone = sampled(reusing(model), positive, negative, cfg=2.0)
    assert (sampled(several, positive, negative, cfg=2.0) - alone).abs().max() < 2e-5


@pytest.mark.long
def test_a_compiled_network(make_model: Any, prompt: Any, style: Any) -> None:
    """As ComfyUI's TorchCompileModel does it: nothing in the transformer options is checked again."""
    from comfy_api.torch_helpers import set_torch_compile_wrapper
    from comfy_extras.nodes_torch_compile import skip_torch_compile_dict

    base = make_model(depth=1, depth_single_blocks=1)
    model, positive, negative = Apply.execute(base, prompt(), prompt(4), small(style), content((4, 4))).result
    compiled = model.clone(disable_dynamic=True)
    set_torch_compile_wrapper(model=compiled, backend="eager", options={"guard_filter_fn": skip_torch_compile_dict})
    for every in (3, 2):
        outs = [sampled(reusing(each, every=every), positive, negative, cfg=2.0) for each in (compiled, model)]
        assert torch.allclose(*outs, atol=1e-5)
