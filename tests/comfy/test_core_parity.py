"""The pack's wiring gives what ComfyUI's own USO nodes give, on the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .graphs import Tiny
from .server import ComfyServer

TOLERANCE = 1e-5
PIXELS = 64


def both(comfy: ComfyServer, graph: Tiny, ours: Any, core: Any) -> float:
    """Return the largest difference between two saved latents of one graph."""
    run = comfy.run(graph)
    first, second = run.latent(ours), run.latent(core)
    assert first.isfinite().all()
    assert first.std() > 0.1
    return (first - second).abs().max().item()


@pytest.mark.parametrize("contents", [0, 1, 2])
@pytest.mark.parametrize("styles", [0, 1, 2])
def test_equals_core(comfy: ComfyServer, tiny: Tiny, styles: int, contents: int) -> None:
    """Every number of references, style pictures that are not square, content that needs no resizing."""
    model, prompt = tiny.lora(tiny.model()), tiny.prompt()
    core_model, core_prompt = model, prompt
    references = {}
    if styles:
        # ComfyUI puts each further style before the earlier ones, which attention does not notice.
        references["style"] = tiny.style(tiny.picture(20, batch=styles))
        for n in range(styles):
            batch = tiny.picture(20, batch=styles)
            picture = tiny.add("ImageFromBatch", image=batch, batch_index=n, length=1)
            core_model = tiny.core_style(core_model, picture[0])
    if contents:
        pictures = tiny.picture(30, 64, 64, batch=contents)
        references["content"] = tiny.content(pictures)
        single = [tiny.add("ImageFromBatch", image=pictures, batch_index=n, length=1)[0] for n in range(contents)]
        core_prompt = tiny.core_content(prompt, *single)
    ours = tiny.apply(model, prompt, **references)
    difference = both(comfy, tiny, tiny.ksampler(ours[0], ours[1]), tiny.ksampler(core_model, core_prompt))
    assert difference <= TOLERANCE


def test_odd_latent_sizes_equal_core(comfy: ComfyServer, tiny: Tiny) -> None:
    """A target that is no multiple of 16 pixels is padded, and the references stay where ComfyUI has them."""
    model, prompt = tiny.model(), tiny.prompt()
    odd = tiny.empty(pixels=120)
    ours = tiny.apply(model, prompt, style=tiny.style(tiny.picture(1)), content=tiny.content(tiny.picture(2, 64, 48)))
    core_model = tiny.core_style(model, tiny.picture(1))
    core_prompt = tiny.core_content(prompt, tiny.picture(2, 64, 48))
    options = {
        "negative": tiny.prompt(9),
        "latent_image": odd,
        "seed": 3,
        "steps": 2,
        "cfg": 1.0,
        "sampler_name": "euler",
        "scheduler": "simple",
        "denoise": 1.0,
    }
    saved = [
        tiny.save(tiny.add("KSampler", model=m, positive=p, **options)[0])
        for m, p in ((ours[0], ours[1]), (core_model, core_prompt))
    ]
    assert both(comfy, tiny, *saved) <= TOLERANCE


@pytest.mark.long
def test_full_width_through_stock_loaders(comfy: ComfyServer, wide_files: Path) -> None:
    """FLUX.1's width, SigLIP's and the projector's real sizes: files, loaders and wiring together."""
    latents = []
    for wire in (_wide_ours, _wide_core):
        graph = Tiny()
        model, positive = wire(graph, graph.picture(1, 200, 120), graph.picture(2, 64, 48))
        sampled = graph.add(
            "KSampler",
            model=model,
            positive=positive,
            negative=graph.prompt(9),
            latent_image=graph.empty(pixels=PIXELS),
            seed=7,
            steps=2,
            cfg=1.0,
            sampler_name="euler",
            scheduler="simple",
            denoise=1.0,
        )
        saved = graph.save(sampled[0])
        try:
            latents.append(comfy.run(graph).latent(saved))
        finally:  # one set of these models at a time is enough for the memory
            comfy.post("/free", {"unload_models": True, "free_memory": True})
    ours, core = latents
    assert ours.isfinite().all()
    assert ours.std() > 0.1
    assert (ours - core).abs().max() <= TOLERANCE


def _wide_flux(graph: Tiny) -> Any:
    return graph.add("UNETLoader", unet_name="wide-flux.safetensors", weight_dtype="default")[0]


def _wide_ours(graph: Tiny, style: Any, content: Any) -> tuple[Any, Any]:
    loaded = graph.add(
        "USO_LoadModels",
        model=_wide_flux(graph),
        lora="wide-lora.safetensors",
        lora_strength=1.0,
        projector="auto",
        clip_vision="auto",
    )
    features = graph.add("USO_EncodeStyle", clip_vision=loaded[2], image=style, fit="squash")[0]
    tokens = graph.add("USO_ProjectStyle", features=features, projector=loaded[1])[0]
    node = graph.apply(loaded[0], graph.prompt(), style=tokens, content=graph.content(content))
    return node[0], node[1]


def _wide_core(graph: Tiny, style: Any, content: Any) -> tuple[Any, Any]:
    model = graph.lora(_wide_flux(graph), "wide-lora.safetensors")
    vision = graph.add("CLIPVisionLoader", clip_name="wide-siglip.safetensors")[0]
    square = graph.add("USO_EncodeStyle", clip_vision=vision, image=style, fit="squash")[1]
    seen = graph.add("CLIPVisionEncode", clip_vision=vision, image=square, crop="none")[0]
    patch = graph.add("ModelPatchLoader", name="wide-projector.safetensors")[0]
    model = graph.add("USOStyleReference", model=model, model_patch=patch, clip_vision_output=seen)[0]
    return model, graph.core_content(graph.prompt(), content)
