"""What people put in, on the real server: cut-outs, half precision, empty masks, single frames, short API graphs."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from .conftest import COMFY, server_folder
from .mini_graphs import OTHER, PAIR, Mini, Ref
from .server import ComfyServer, running_server

SIDE = 128


@pytest.fixture(scope="module")
def halves() -> Iterator[ComfyServer]:
    """Return a server that keeps pictures in float16, which ComfyUI 0.17 cannot."""
    if "--fp16-intermediates" not in (COMFY / "comfy/cli_args.py").read_text(encoding="utf-8"):
        pytest.skip("this ComfyUI has no --fp16-intermediates")
    with server_folder("halves") as base, running_server(COMFY, base, "--fp16-intermediates") as server:
        yield server


def photo(graph: Mini, name: str) -> Any:
    """Return a Load Image node of a random picture that is not square."""
    pixels = np.random.default_rng(5).integers(0, 256, (90, 150, 3), dtype=np.uint8)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return graph.add("LoadImage", image=graph.comfy.upload(f"{name}.png", data.getvalue()))


def references(graph: Mini, image: Ref, **mask: Any) -> dict[str, Any]:
    """Return a picture as style and as subject."""
    seen = graph.add("USO_EncodeStyle", clip_vision=graph.models[3], image=image, fit="squash", **mask)
    style = graph.add("USO_ProjectStyle", features=seen[0], projector=graph.models[4])[0]
    sizes = {"long_side": SIDE, "latent_long_side": SIDE}
    content = graph.add("USO_EncodeContent", vae=graph.models[2], image=image, **sizes, **mask)[0]
    return {"style": style, "content": content}


def test_half_precision_with_masks_of_another_size(halves: ComfyServer) -> None:
    graph = Mini(halves)
    image = photo(graph, "half")[0]
    mask = graph.add("SolidMask", value=0.7, width=64, height=48)[0]
    region = graph.add("SolidMask", value=1.0, width=30, height=20)[0]
    saved = graph.draw(**references(graph, image, mask=mask), style_region=region)
    assert halves.run(graph).latent(saved).isfinite().all()


def test_a_cut_out_is_its_picture_with_a_mask(comfy: ComfyServer) -> None:
    latents = []
    for joined in (True, False):
        graph = Mini(comfy)
        image, left = photo(graph, "cut")[0], graph.add("SolidMask", value=0.6, width=150, height=90)[0]
        if joined:
            hole = graph.add("InvertMask", mask=left)[0]  # ComfyUI's masks are 1 where a picture is transparent
            cut = graph.add("JoinImageWithAlpha", image=image, alpha=hole)[0]
            saved = graph.draw(**references(graph, cut))
        else:
            saved = graph.draw(**references(graph, image, mask=left))
        latents.append(comfy.run(graph).latent(saved))
    assert torch.allclose(*latents, atol=1e-4)


def test_an_empty_mask_is_told_once_for_each_kind(comfy: ComfyServer) -> None:
    graph = Mini(comfy)
    loaded = photo(graph, "whole")
    pair = graph.add("ImageBatch", image1=loaded[0], image2=loaded[0])[0]
    before = len(comfy.log.read_text(errors="replace"))
    saved = graph.draw(**references(graph, pair, mask=loaded[1]), style_region=loaded[1])
    assert comfy.run(graph).latent(saved).isfinite().all()
    said = comfy.log.read_text(errors="replace")[before:]
    for role in ("style", "content", "style_region"):
        assert said.count(f"Got a mask for {role} that is 0 everywhere") == 1, role


def test_one_frame_drawn_again(comfy: ComfyServer) -> None:
    graph = Mini(comfy)
    pair = graph.add("ImageBatch", image1=graph.picture("content", PAIR), image2=graph.picture("content", OTHER))[0]
    sizes = {"long_side": SIDE, "latent_long_side": SIDE}
    frames = graph.add("USO_EncodeContent", vae=graph.models[2], image=pair, **sizes, batch="frames")
    text = graph.add("CLIPTextEncode", clip=graph.models[1], text="")[0]
    node = graph.add("USO_Apply", model=graph.models[0], positive=text, content=frames[0])  # and nothing else
    second = graph.add("LatentFromBatch", samples=frames[1], batch_index=1, length=1)[0]
    saved = []
    for latent in (frames[1], second):
        options = {"seed": 1, "steps": 3, "guidance": 4.0, "cfg": 1.0, "sampler_name": "euler"}
        more = {"schedule": "official", "mu": 1.0, "denoise": 1.0}
        drawn = graph.add("USO_Sampler", model=node[0], positive=node[1], latent=latent, **options, **more)
        saved.append(graph.add("SaveLatent", samples=drawn[0], filename_prefix="latents/frames"))
    run = comfy.run(graph)
    whole, again = (run.latent(node) for node in saved)
    assert (whole[0] - whole[1]).abs().mean() > 0.05
    assert (again - whole[1:]).abs().max() <= 1e-4


def test_an_api_graph_may_leave_weights_out(comfy: ComfyServer) -> None:
    latents = []
    for weights in ({}, {f"weight_{n}": 1.0 for n in range(1, 9)}):
        graph = Mini(comfy)
        both = {"style_1": graph.style(PAIR), "style_2": graph.style(OTHER), "mode": "average"}
        saved = graph.draw(style=graph.add("USO_MixStyles", **both, **weights)[0])
        latents.append(comfy.run(graph).latent(saved))
    assert torch.equal(*latents)
