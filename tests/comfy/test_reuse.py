"""USO Reuse References on the real server: wherever it stands, whatever samples, and nothing left for the next run."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch

from .graphs import Tiny
from .server import ComfyError, ComfyServer, Node, PromptRefused

NEUTRAL = {"every": 2, "form": "linear", "first": 1, "last": 0, "tolerance": 0.0}
STEPS = 6
Ref = list[Any]


def reusing(graph: Tiny, model: Ref, **changes: Any) -> Ref:
    return graph.add("USO_ReuseReferences", model=model, **{**NEUTRAL, **changes})[0]


def referred(graph: Tiny, model: Ref, pictures: int = 1, prompt: int = 1, nonce: int = 0) -> Node:
    """Return USO Apply with styles and subjects; another nonce is another run of the same."""
    style, content = (graph.picture(seed, batch=pictures) for seed in (1, 2))
    given = {"style": graph.style(style), "content": graph.content(content), "negative": graph.prompt(9)}
    return graph.apply(model, graph.prompt(prompt, nonce=nonce), **given)


def drawn(graph: Tiny, changes: dict[str, Any] | None, seed: int = 7, steps: int = STEPS, **more: Any) -> Node:
    """Add a picture with references, reused if there are changes to the node's neutral settings."""
    node = referred(graph, graph.lora(graph.model()), **more)
    model = node[0] if changes is None else reusing(graph, node[0], **changes)
    return graph.ksampler(model, node[1], node[2], steps=steps, seed=seed)


def gap(one: torch.Tensor, other: torch.Tensor) -> float:
    return (one - other).abs().max().item()


@pytest.fixture(scope="module")
def exact(comfy: ComfyServer) -> torch.Tensor:
    graph = Tiny()
    saved = drawn(graph, None)
    return comfy.run(graph).latent(saved)


@pytest.fixture(scope="module")
def reused(comfy: ComfyServer) -> torch.Tensor:
    graph = Tiny()
    saved = drawn(graph, {})
    return comfy.run(graph).latent(saved)


def test_every_step_is_the_exact_picture_and_every_second_is_near(
    comfy: ComfyServer, tiny: Tiny, exact: torch.Tensor, reused: torch.Tensor
) -> None:
    off = drawn(tiny, {"every": 1})
    bare = tiny.ksampler(tiny.lora(tiny.model()), tiny.prompt(), steps=STEPS)
    run = comfy.run(tiny)
    assert torch.equal(run.latent(off), exact)
    assert 0 < gap(reused, exact) < gap(run.latent(bare), exact) / 3


def test_a_model_without_references_is_as_it_was(comfy: ComfyServer, tiny: Tiny) -> None:
    model = tiny.model()
    bare, with_node = (tiny.ksampler(m, tiny.prompt(), steps=2) for m in (model, reusing(tiny, model)))
    run = comfy.run(tiny)
    assert torch.equal(run.latent(bare), run.latent(with_node))


def test_it_may_stand_anywhere_before_the_sampler(comfy: ComfyServer, tiny: Tiny, reused: torch.Tensor) -> None:
    first = referred(tiny, tiny.lora(reusing(tiny, tiny.model())))
    middle = referred(tiny, reusing(tiny, tiny.lora(tiny.model())))
    # Of two the last one counts, even where it stands behind.
    twice = referred(tiny, reusing(tiny, reusing(tiny, tiny.lora(tiny.model()), every=5)))
    saved = [tiny.ksampler(node[0], node[1], node[2], steps=STEPS) for node in (first, middle, twice)]
    run = comfy.run(tiny)
    assert all(torch.equal(run.latent(node), reused) for node in saved)


@pytest.mark.long
def test_nothing_is_left_for_the_next_run(comfy: ComfyServer, tiny: Tiny, reused: torch.Tensor) -> None:
    other = [drawn(tiny, {}, seed=8), drawn(tiny, {}, prompt=3), drawn(tiny, {"form": "hold"})]
    again = drawn(tiny, {}, nonce=1)
    run = comfy.run(tiny)
    assert torch.equal(run.latent(again), reused)
    assert all(gap(run.latent(node), reused) > 0 for node in other)


@pytest.mark.long
def test_another_distance_runs_the_sampler_only(comfy: ComfyServer, tiny: Tiny, reused: torch.Tensor) -> None:
    saved = drawn(tiny, {"every": 3})
    run = comfy.run(tiny)
    assert set(run.executed) == {"USO_ReuseReferences", "KSampler", "SaveLatent"}
    assert gap(run.latent(saved), reused) > 0


@pytest.mark.long
def test_nothing_is_left_of_a_run_that_was_cancelled(comfy: ComfyServer, reused: torch.Tensor) -> None:
    long, again = Tiny(), Tiny()
    drawn(long, {}, steps=2000)
    prompt = comfy.start(long)
    while comfy.get_json("/queue")["queue_running"] == []:
        time.sleep(0.01)
    time.sleep(0.5)
    comfy.interrupt()
    assert comfy.finish(prompt)["status"]["status_str"] == "error"
    saved = drawn(again, {}, nonce=2)
    assert torch.equal(comfy.run(again).latent(saved), reused)


@pytest.mark.long
def test_references_on_both_sides(comfy: ComfyServer, tiny: Tiny) -> None:
    """Two styles and two subjects; the negative has other references than the positive."""
    node = referred(tiny, tiny.lora(tiny.model()), pictures=2)
    other = {"style": tiny.style(tiny.picture(5)), "content": tiny.content(tiny.picture(6, batch=2))}
    negative = tiny.apply(node[0], node[2], **other)
    models = (node[0], reusing(tiny, node[0]), reusing(tiny, node[0], every=1))
    saved = [tiny.ksampler(m, node[1], negative[1], steps=STEPS, cfg=3.0, batch=2) for m in models]
    run = comfy.run(tiny)
    one, near, off = (run.latent(part) for part in saved)
    assert torch.equal(one, off) and 0 < gap(near, one) < one.abs().max().item() / 10


@pytest.mark.long
def test_every_sampler_node_has_it(comfy: ComfyServer, tiny: Tiny, reused: torch.Tensor) -> None:
    node = referred(tiny, tiny.lora(tiny.model()))
    model, start = reusing(tiny, node[0]), tiny.empty()
    custom = tiny.add(
        "SamplerCustomAdvanced",
        noise=tiny.add("RandomNoise", noise_seed=7)[0],
        guider=tiny.add("BasicGuider", model=model, conditioning=node[1])[0],
        sampler=tiny.add("KSamplerSelect", sampler_name="euler")[0],
        sigmas=tiny.add("BasicScheduler", model=model, scheduler="simple", steps=STEPS, denoise=1.0)[0],
        latent_image=start,
    )
    settings = {"steps": STEPS, "guidance": 4.0, "cfg": 1.0, "sampler_name": "heun", "schedule": "flux"}
    ours = [
        tiny.add("USO_Sampler", model=m, positive=node[1], latent=start, seed=7, mu=1.0, denoise=1.0, **settings)[0]
        for m in (node[0], model)
    ]
    saved = [tiny.save(latent) for latent in (custom[0], *ours)]
    run = comfy.run(tiny)
    latent, plain, faster = (run.latent(part) for part in saved)
    assert gap(latent, reused) < 1e-5
    assert 0 < gap(plain, faster) < plain.abs().max().item() / 10


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("every", 0, "min"),
        ("every", 101, "max"),
        ("form", "cubic", "not in list"),
        ("tolerance", 2.0, "max"),
        ("first", "one", "INT"),
    ],
)
def test_the_server_refuses_wrong_values(comfy: ComfyServer, tiny: Tiny, name: str, value: Any, words: str) -> None:
    drawn(tiny, {name: value})
    with pytest.raises(PromptRefused, match=words):
        comfy.run(tiny)


def test_wrong_values_over_a_link_are_one_sentence(comfy: ComfyServer) -> None:
    for name, kind, value, words in (
        ("every", "PrimitiveInt", 0, "Got every = 0, expected a whole number from 1 to 100"),
        ("last", "PrimitiveInt", -1, "Got last = -1, expected a whole number from 0 to 100"),
        ("tolerance", "PrimitiveFloat", -0.5, "Got tolerance = -0.5, expected a number from 0.0 to 1.0"),
    ):
        graph = Tiny()
        drawn(graph, {name: graph.add(kind, value=value)[0]})
        with pytest.raises(ComfyError, match=words):
            comfy.run(graph)


def test_not_beside_flux_kv_cache(comfy: ComfyServer, tiny: Tiny) -> None:
    node = referred(tiny, tiny.lora(tiny.model()))
    model = tiny.add("FluxKVCache", model=reusing(tiny, node[0]))[0]
    tiny.ksampler(model, node[1], node[2])
    with pytest.raises(ComfyError, match=r"USO Reuse References together with Flux KV Cache, .*expected one of them"):
        comfy.run(tiny)


def test_another_kind_of_model_is_one_sentence(comfy: ComfyServer, tiny: Tiny) -> None:
    model = reusing(tiny, tiny.add("TestOtherModel", family="SD15")[0])
    tiny.ksampler(model, tiny.prompt())
    with pytest.raises(ComfyError, match=r"Got a MODEL of type BaseModel, expected FLUX\.1"):
        comfy.run(tiny)
