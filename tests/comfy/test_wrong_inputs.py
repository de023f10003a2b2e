"""Wrong inputs end the graph with one sentence that names the file or the node to use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from .graphs import Tiny
from .server import ComfyError, ComfyServer

SIGLIP = "sigclip_vision_patch14_384.safetensors"
PROJECTOR = "uso-flux1-projector-v1.safetensors"
FLUX = "flux1-dev.safetensors"


def encode_style(graph: Tiny, **changes: Any) -> Any:
    inputs = {"clip_vision": graph.vision(), "image": graph.picture(1), "fit": "squash", **changes}
    return graph.add("USO_EncodeStyle", **inputs)[0]


def encode_content(graph: Tiny, **changes: Any) -> Any:
    inputs = {"vae": graph.vae(), "image": graph.picture(1), "long_side": 64, "latent_long_side": 128}
    return graph.add("USO_EncodeContent", **{**inputs, **changes})[0]


def project(graph: Tiny, **changes: Any) -> Any:
    inputs = {"features": encode_style(graph), "projector": graph.projector(), **changes}
    return graph.add("USO_ProjectStyle", **inputs)[0]


def apply(graph: Tiny, **changes: Any) -> Any:
    inputs = {"model": graph.model(), "positive": graph.prompt(), "content_on_negative": False, **changes}
    return graph.add("USO_Apply", **inputs)[0]


def load(graph: Tiny, **changes: Any) -> Any:
    inputs = {"lora": "none", "lora_strength": 1.0, "projector": "tiny-projector.safetensors"}
    more = {"model": graph.model(), "clip_vision": "siglip-512.safetensors"}
    return graph.add("USO_LoadModels", **{**inputs, **more, **changes})[0]


def stock_vision(graph: Tiny, name: str) -> Any:
    return graph.add("CLIPVisionLoader", clip_name=name)[0]


def other_model(graph: Tiny, family: str) -> Any:
    return graph.add("TestOtherModel", family=family)[0]


def one_pixel(graph: Tiny) -> Any:
    return graph.add("EmptyImage", width=1, height=1, batch_size=1, color=0)[0]


def sampler(graph: Tiny, model: Any, **changes: Any) -> Any:
    options = {"seed": 0, "steps": 1, "guidance": 4.0, "cfg": 1.0, "sampler_name": "euler", "mu": 1.0}
    more = {"positive": graph.prompt(), "latent": graph.empty(), "schedule": "flux", "denoise": 1.0}
    return graph.add("USO_Sampler", model=model, **{**options, **more, **changes})[0]


def scheduler(graph: Tiny, model: Any) -> Any:
    options = {"steps": 2, "schedule": "flux", "width": 64, "height": 64, "mu": 1.0, "denoise": 1.0}
    return graph.add("USO_Scheduler", model=model, **options)[0]


CASES: dict[str, tuple[Callable[[Tiny], Any], tuple[str, ...]]] = {
    "CLIP-L by the stock loader": (
        lambda g: encode_style(g, clip_vision=stock_vision(g, "clip-l.safetensors")),
        ("CLIP vision model", "224", "SigLIP", SIGLIP, "models/clip_vision"),
    ),
    "CLIP-L by our loader": (
        lambda g: load(g, clip_vision="clip-l.safetensors"),
        ("clip-l.safetensors", "a CLIP vision model", SIGLIP, "models/clip_vision"),
    ),
    "SigLIP 2": (
        lambda g: encode_style(g, clip_vision=g.vision(kind="siglip2_vision_model")),
        ("SigLIP 2", SIGLIP, "models/clip_vision"),
    ),
    "SigLIP-512 by its features": (
        lambda g: project(g, features=encode_style(g, clip_vision=g.vision(size=512, layers=6))),
        ("1024 tokens", "16 x 64", SIGLIP),
    ),
    "SigLIP-512 by our loader": (
        lambda g: load(g, clip_vision="siglip-512.safetensors"),
        ("siglip-512.safetensors", "of another size", SIGLIP, "models/clip_vision"),
    ),
    "projector of another width": (
        lambda g: apply(g, style=project(g, projector=g.projector(128))),
        ("width 128", "width 256", PROJECTOR, "models/model_patches"),
    ),
    "projector of another width by our loader": (
        lambda g: load(g, projector="narrow-projector.safetensors"),
        ("narrow-projector.safetensors", "another size", "width 256", PROJECTOR, "models/model_patches"),
    ),
    "LoRA as projector": (
        lambda g: load(g, projector="a-lora.safetensors"),
        ("a-lora.safetensors", "a LoRA", "style projector", PROJECTOR, "models/model_patches"),
    ),
    "projector as LoRA": (
        lambda g: load(g, lora="a-projector.safetensors"),
        ("a-projector.safetensors", "style projector", "uso-flux1-dit-lora-v1.safetensors", "models/loras"),
    ),
    "MODEL_PATCH of another kind": (
        lambda g: project(g, projector=g.add("TestOtherPatch")[0]),
        ("Linear", "style projector", PROJECTOR, "models/model_patches"),
    ),
    "truncated LoRA": (
        lambda g: load(g, lora="truncated.safetensors"),
        ("truncated.safetensors", "truncated"),
    ),
    "truncated projector": (
        lambda g: load(g, projector="truncated.safetensors"),
        ("truncated.safetensors", "truncated"),
    ),
    "truncated vision model": (
        lambda g: load(g, clip_vision="truncated.safetensors"),
        ("truncated.safetensors", "truncated"),
    ),
    "no vision model that fits": (
        lambda g: load(g, clip_vision="auto"),
        ("models/clip_vision", "16 tokens x 64", SIGLIP),
    ),
    "no USO LoRA that fits": (
        lambda g: load(g, lora="auto", model=other_model(g, "SD15")),
        ("SD15|BaseModel", "FLUX.1", FLUX),
    ),
    "VAE of another model": (
        lambda g: encode_content(g, vae=g.add("TestAutoencoder", channels=4)[0]),
        ("4 channels", "16", "ae.safetensors", "models/vae"),
    ),
    "content too narrow": (
        lambda g: encode_content(g, image=g.picture(1, width=400, height=8)),
        ("400x8", "long side"),
    ),
    "empty latent batch": (
        lambda g: sampler(g, g.model(), latent=g.add("TestEmptyLatent")[0]),
        ("empty LATENT",),
    ),
}
for _role, _encode in (("style", encode_style), ("content", encode_content)):
    CASES |= {
        f"{_role} of one pixel": (
            lambda g, encode=_encode: encode(g, image=one_pixel(g)),
            (_role, "1x1 pixels"),
        ),
        f"{_role} of an empty batch": (
            lambda g, encode=_encode: encode(g, image=g.picture(1, batch=0)),
            (_role, "empty batch", "Load Image"),
        ),
    }
for _family in ("SD15", "Flux2", "Chroma"):
    _words = ("BaseModel" if _family == "SD15" else _family, "FLUX.1", FLUX, "models/diffusion_models")
    CASES |= {
        f"{_family} with style": (
            lambda g, f=_family: apply(g, model=other_model(g, f), style=project(g)),
            _words,
        ),
        f"{_family} with content": (
            lambda g, f=_family: apply(g, model=other_model(g, f), content=encode_content(g)),
            _words,
        ),
        f"{_family} in Load Models": (lambda g, f=_family: load(g, model=other_model(g, f)), _words),
        f"{_family} in Scheduler": (lambda g, f=_family: scheduler(g, other_model(g, f)), _words),
        f"{_family} in Sampler": (lambda g, f=_family: sampler(g, other_model(g, f)), _words),
    }


@pytest.mark.parametrize("case", CASES)
def test_one_sentence(comfy: ComfyServer, tiny: Tiny, case: str) -> None:
    make, words = CASES[case]
    tiny.add("PreviewAny", source=make(tiny))
    with pytest.raises(ComfyError) as caught:
        comfy.run(tiny)
    error = caught.value
    assert error.node_type.startswith("USO_"), error
    assert error.kind.rpartition(".")[2] in ("UserError", "CheckpointError", "MissingFile"), error
    assert "\n" not in error.message
    assert ". " not in error.message.rstrip("."), "more than one sentence"
    missing = [word for word in words if not any(part in error.message for part in word.split("|"))]
    assert not missing, error.message


def test_the_server_goes_on(comfy: ComfyServer, tiny: Tiny) -> None:
    """After every wrong input the right one still works."""
    node = tiny.apply(
        tiny.model(), tiny.prompt(), style=tiny.style(tiny.picture(1)), content=tiny.content(tiny.picture(2))
    )
    saved = tiny.ksampler(node[0], node[1], seed=77)
    assert comfy.run(tiny).latent(saved).isfinite().all()
