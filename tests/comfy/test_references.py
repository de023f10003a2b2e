"""Batches, CFG, several references, stock samplers, LoRAs and stock nodes around the pack's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from .graphs import Tiny
from .server import ComfyServer

CLOSE = 1e-4
KINDS = ("style", "content")


def applied(graph: Tiny, kinds: tuple[str, ...] = KINDS, count: int = 1, model: Any = None, **more: Any) -> Any:
    """Return USO Apply with references of the given kinds, `count` pictures each."""
    references = {
        "style": graph.style(graph.picture(1, batch=count)) if "style" in kinds else None,
        "content": graph.content(graph.picture(2, batch=count)) if "content" in kinds else None,
    }
    model = graph.lora(graph.model()) if model is None else model
    return graph.apply(model, graph.prompt(), **{**references, **more})


def gap(first: torch.Tensor, second: torch.Tensor) -> float:
    return (first - second).abs().max().item()


@pytest.mark.parametrize("cfg", [1.0, 3.0])
@pytest.mark.parametrize("batch", [2, 4])
def test_every_latent_of_a_batch_gets_the_references(comfy: ComfyServer, tiny: Tiny, batch: int, cfg: float) -> None:
    """The first of a batch starts from the noise of a batch of one, and must end where that ends."""
    node = applied(tiny, negative=tiny.prompt(9))
    one = tiny.ksampler(node[0], node[1], node[2], cfg=cfg)
    many = tiny.ksampler(node[0], node[1], node[2], batch=batch, cfg=cfg)
    plain = tiny.ksampler(tiny.lora(tiny.model()), tiny.prompt(), batch=batch, cfg=cfg)
    run = comfy.run(tiny)
    latents = run.latent(many)
    assert latents.shape[0] == batch
    assert gap(latents[:1], run.latent(one)) <= CLOSE
    changed = (latents - run.latent(plain)).flatten(1).abs().amax(1)
    assert (changed > 0.01).all()


def test_cfg_leaves_the_references_off_the_negative(comfy: ComfyServer, tiny: Tiny) -> None:
    """CFG 3 on one step is `negative + 3 (positive - negative)`, the negative without any reference."""
    node = applied(tiny, negative=tiny.prompt(9))
    mixed = tiny.ksampler(node[0], node[1], node[2], cfg=3.0, steps=1)
    positive = tiny.ksampler(node[0], node[1], steps=1)
    negative = tiny.ksampler(tiny.lora(tiny.model()), tiny.prompt(9), steps=1)
    run = comfy.run(tiny)
    pos, neg = run.latent(positive), run.latent(negative)
    assert gap(run.latent(mixed), neg + 3 * (pos - neg)) <= CLOSE * 10


def test_content_on_negative(comfy: ComfyServer, tiny: Tiny) -> None:
    both = applied(tiny, negative=tiny.prompt(9), content_on_negative=True)
    only = applied(tiny, negative=tiny.prompt(9))
    content = applied(tiny, ("content",))
    negative = tiny.add(
        "USO_Apply",
        model=content[0],
        positive=tiny.prompt(9),
        content=tiny.content(tiny.picture(2)),
        content_on_negative=False,
    )
    saved = [
        tiny.ksampler(both[0], both[1], both[2], cfg=3.0, steps=1),
        tiny.ksampler(only[0], only[1], only[2], cfg=3.0, steps=1),
        tiny.ksampler(only[0], only[1], steps=1),
        tiny.ksampler(negative[0], negative[1], steps=1),
    ]
    run = comfy.run(tiny)
    with_it, without, pos, neg = (run.latent(node) for node in saved)
    assert gap(with_it, neg + 3 * (pos - neg)) <= CLOSE * 10
    assert gap(with_it, without) > 0.01


def test_each_kind_of_reference_matters(comfy: ComfyServer, tiny: Tiny) -> None:
    """Style only, content only, both, neither, two of each: six different pictures."""
    cases = [((), 1), (("style",), 1), (("content",), 1), (KINDS, 1), (("style",), 2), (("content",), 2)]
    saved = []
    for kinds, count in cases:
        node = applied(tiny, kinds, count)
        saved.append(tiny.ksampler(node[0], node[1]))
    run = comfy.run(tiny)
    latents = [run.latent(node) for node in saved]
    assert all(latent.isfinite().all() for latent in latents)
    for n, first in enumerate(latents):
        assert all(gap(first, second) > 0.01 for second in latents[n + 1 :])


@pytest.mark.parametrize("kind", KINDS)
def test_chained_nodes_append(comfy: ComfyServer, tiny: Tiny, kind: str) -> None:
    """Two nodes with a picture each equal one node with both pictures."""
    make = tiny.style if kind == "style" else tiny.content
    pictures = tiny.picture(1, batch=2)
    first, second = (make(tiny.add("ImageFromBatch", image=pictures, batch_index=n, length=1)[0]) for n in (0, 1))
    once = tiny.apply(tiny.model(), tiny.prompt(), **{kind: make(pictures)})
    half = tiny.apply(tiny.model(), tiny.prompt(), **{kind: first})
    twice = tiny.apply(half[0], half[1], **{kind: second})
    saved = [tiny.ksampler(node[0], node[1]) for node in (once, twice, half)]
    run = comfy.run(tiny)
    both, chained, one = (run.latent(node) for node in saved)
    assert torch.equal(both, chained)
    assert gap(both, one) > 0.01


def test_nothing_connected_changes_nothing(comfy: ComfyServer, tiny: Tiny) -> None:
    node = applied(tiny, ())
    saved = [tiny.ksampler(node[0], node[1]), tiny.ksampler(tiny.lora(tiny.model()), tiny.prompt())]
    run = comfy.run(tiny)
    assert torch.equal(*(run.latent(node) for node in saved))


@pytest.mark.parametrize("cfg", [1.0, 3.0])
def test_removing_the_node_restores_the_model(tiny: Tiny, sample: Callable[..., torch.Tensor], cfg: float) -> None:
    """Without, with, without again, on the one loaded model."""
    before = sample(tiny, tiny.model(), tiny.prompt(nonce=10), cfg=cfg)
    with_it = Tiny()
    node = applied(with_it, negative=with_it.prompt(9))
    between = sample(with_it, node[0], node[1], negative=node[2], cfg=cfg)
    again = Tiny()
    after = sample(again, again.model(), again.prompt(nonce=11), cfg=cfg)
    assert torch.equal(before, after)
    assert gap(before, between) > 0.01


def test_stock_and_own_samplers_agree(comfy: ComfyServer, tiny: Tiny) -> None:
    """SamplerCustomAdvanced with USO Scheduler is USO Sampler."""
    node = applied(tiny)
    own = tiny.add(
        "USO_Sampler",
        model=node[0],
        positive=node[1],
        latent=tiny.empty(),
        seed=7,
        steps=3,
        guidance=4.0,
        cfg=1.0,
        sampler_name="euler",
        schedule="official",
        mu=1.15,
        denoise=1.0,
    )
    sigmas = tiny.add(
        "USO_Scheduler",
        model=node[0],
        steps=3,
        schedule="official",
        width=1024,
        height=1024,
        mu=1.15,
        denoise=1.0,
        latent=tiny.empty(),
    )
    guided = tiny.add("FluxGuidance", conditioning=node[1], guidance=4.0)
    stock = tiny.add(
        "SamplerCustomAdvanced",
        noise=tiny.add("RandomNoise", noise_seed=7)[0],
        guider=tiny.add("BasicGuider", model=node[0], conditioning=guided[0])[0],
        sampler=tiny.add("KSamplerSelect", sampler_name="euler")[0],
        sigmas=sigmas[0],
        latent_image=tiny.empty(),
    )
    saved = [tiny.save(own[0]), tiny.save(stock[0])]
    run = comfy.run(tiny)
    assert torch.equal(*(run.latent(node) for node in saved))


def test_sampler_denoise_and_cfg(comfy: ComfyServer, tiny: Tiny) -> None:
    """An image to start from, half the noise, CFG 3 and the FLUX schedule, through USO Sampler alone."""
    node = applied(tiny, negative=tiny.prompt(9))
    start = tiny.add("VAEEncode", pixels=tiny.picture(5, 128, 128), vae=tiny.vae())[0]
    options = {"seed": 1, "steps": 2, "guidance": 4.0, "sampler_name": "euler", "schedule": "flux", "mu": 1.0}
    common = {"model": node[0], "positive": node[1], "negative": node[2], "latent": start, **options}
    half = tiny.save(tiny.add("USO_Sampler", **common, cfg=3.0, denoise=0.5)[0])
    none = tiny.save(tiny.add("USO_Sampler", **common, cfg=1.0, denoise=0.0)[0])
    given = tiny.save(start)
    run = comfy.run(tiny)
    assert gap(run.latent(none), run.latent(given)) == 0
    assert gap(run.latent(half), run.latent(given)) > 0.01


def test_stock_lora_before_and_after(comfy: ComfyServer, tiny: Tiny) -> None:
    lora = "tiny-stock-lora.safetensors"
    before = applied(tiny, model=tiny.lora(tiny.lora(tiny.model()), lora))
    after = applied(tiny)
    saved = [
        tiny.ksampler(before[0], before[1]),
        tiny.ksampler(tiny.lora(after[0], lora), after[1]),
        tiny.ksampler(after[0], after[1]),
    ]
    run = comfy.run(tiny)
    first, second, without = (run.latent(node) for node in saved)
    assert gap(first, second) <= CLOSE
    assert gap(first, without) > 0.01


def test_core_nodes_before_and_after(comfy: ComfyServer, tiny: Tiny) -> None:
    """ComfyUI's style, reference and guidance nodes on either side of the pack's: four equal pictures."""
    image, subject = tiny.picture(1), tiny.picture(2, 64, 64)
    other, second = tiny.picture(3), tiny.picture(4, 64, 64)
    model = tiny.model()

    core_first = tiny.apply(
        tiny.core_style(model, other),
        tiny.core_content(tiny.prompt(), subject),
        style=tiny.style(image),
        content=tiny.content(second),
    )
    core_last = tiny.apply(model, tiny.prompt(), style=tiny.style(image), content=tiny.content(subject))
    all_core = tiny.core_style(tiny.core_style(model, image), other)
    guided = [
        tiny.add("FluxGuidance", conditioning=conditioning, guidance=4.0)[0]
        for conditioning in (
            core_first[1],
            tiny.core_content(core_last[1], second),
            tiny.core_content(tiny.prompt(), subject, second),
        )
    ]
    models = (core_first[0], tiny.core_style(core_last[0], other), all_core)
    saved = [tiny.ksampler(*pair) for pair in zip(models, guided, strict=True)]
    early = tiny.apply(
        tiny.core_style(model, other),
        tiny.core_content(tiny.add("FluxGuidance", conditioning=tiny.prompt(), guidance=4.0)[0], subject),
        style=tiny.style(image),
        content=tiny.content(second),
    )
    saved.append(tiny.ksampler(early[0], early[1]))
    run = comfy.run(tiny)
    latents = [run.latent(node) for node in saved]
    assert all(gap(latents[0], other) <= CLOSE for other in latents[1:])


def test_regions_and_step_ranges(comfy: ComfyServer, tiny: Tiny) -> None:
    """Two prompts with a style each, one per half; and a style for the first half of the steps only."""
    first = tiny.apply(tiny.model(), tiny.prompt(), style=tiny.style(tiny.picture(1)))
    second = tiny.apply(tiny.model(), tiny.prompt(), style=tiny.style(tiny.picture(3)))
    left, right = (
        tiny.add("ConditioningSetArea", conditioning=node[1], width=64, height=128, x=x, y=0, strength=1.0)[0]
        for node, x in ((first, 0), (second, 64))
    )
    regions = tiny.add("ConditioningCombine", conditioning_1=left, conditioning_2=right)[0]
    early = tiny.add("ConditioningSetTimestepRange", conditioning=first[1], start=0.0, end=0.5)[0]
    late = tiny.add("ConditioningSetTimestepRange", conditioning=tiny.prompt(), start=0.5, end=1.0)[0]
    ranged = tiny.add("ConditioningCombine", conditioning_1=early, conditioning_2=late)[0]
    saved = [tiny.ksampler(first[0], positive, steps=4) for positive in (regions, ranged, first[1])]
    run = comfy.run(tiny)
    latents = [run.latent(node) for node in saved]
    assert all(latent.isfinite().all() for latent in latents)
    assert gap(latents[0], latents[2]) > 0.01
    assert gap(latents[1], latents[2]) > 0.01
