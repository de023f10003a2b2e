"""USO-mini among ComfyUI's own nodes: one's own files, sizes, and what each node does with its models."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from comfyui_uso.mini.demo import examples
from comfyui_uso.mini.model import load_mini, missing_files
from comfyui_uso.trainer.export.names import meant
from comfyui_uso.uso_model.checkpoints import load_projector, merge_lora, read_lora
from comfyui_uso.uso_model.config import FLUX_AE
from comfyui_uso.uso_model.images import picture_tensor
from comfyui_uso.uso_model.sampling import Conditioning, euler, velocity
from comfyui_uso.uso_model.schedule import official_schedule

from .mini_graphs import PAIR, Mini, Ref
from .server import ComfyError, ComfyServer, Node

pytestmark = pytest.mark.skipif(bool(missing_files()), reason=f"USO-mini lacks {', '.join(missing_files())}")

TOLERANCE = 1e-4
PROMPT, SEED, STEPS, GUIDANCE = "a red car on the road", 5, 4, 4.0


@pytest.fixture(scope="module")
def trained(comfy: ComfyServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train the recipe toy for a few large steps, put what it writes where ComfyUI looks, and return its folder."""
    folder = tmp_path_factory.mktemp("toy")
    small = ("loop.steps=3", "loop.learning_rate=0.01", "loop.save_every=3", "loop.warmup=0", "loop.ema=0.5")
    small += ("monitor.samples_every=0", "monitor.validation_every=0", "loop.loggers=[]")
    for command in (
        ("mini", "world", "--out", "toy", "--pictures", "0", "--triplets", "8"),
        ("train", "toy", *small),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "comfyui_uso", *command],
            cwd=folder,
            env=os.environ,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    (written,) = folder.rglob("toy-???????.safetensors")
    for kind, name in (("loras", "lora"), ("model_patches", "projector")):
        data = meant(written.parent, name).read_bytes()
        (comfy.base / "models" / kind / f"toy-{name}.safetensors").write_bytes(data)
    return written.parent


def drawn(comfy: ComfyServer, **files: str) -> torch.Tensor:
    """Draw a style in the server with files of one's own."""
    graph = Mini(comfy)
    graph.models = graph.add("USO_LoadMini", lora_strength=1.0, **files)
    text = graph.add("CLIPTextEncode", clip=graph.models[1], text=PROMPT)[0]
    node = graph.add("USO_Apply", model=graph.models[0], positive=text, style=graph.style(), content_on_negative=False)
    sampled = graph.add(
        "USO_Sampler",
        model=node[0],
        positive=node[1],
        latent=empty(graph, 128),
        seed=SEED,
        steps=STEPS,
        guidance=GUIDANCE,
        cfg=1.0,
        sampler_name="euler",
        schedule="official",
        mu=1.15,
        denoise=1.0,
    )
    saved = graph.add("SaveLatent", samples=sampled[0], filename_prefix="latents/own")
    return comfy.run(graph).latent(saved)


def empty(graph: Mini, width: int, height: int | None = None) -> Ref:
    return graph.add("EmptySD3LatentImage", width=width, height=height or width, batch_size=1)[0]


def test_what_the_toy_recipe_writes_is_drawn(comfy: ComfyServer, trained: Path) -> None:
    own = drawn(comfy, lora="toy-lora.safetensors", projector="toy-projector.safetensors")
    mini = load_mini(lora_strength=0)
    merge_lora(mini.transformer, read_lora(meant(trained, "lora")))
    projector = load_projector(meant(trained, "projector")).float()
    with torch.inference_mode():
        txt, vec = mini.encoders.text(mini.encoders.tokenizer.batch([PROMPT]))
        levels, _ = mini.encoders.vision(picture_tensor(examples()[PAIR].style))
        given = Conditioning(txt=txt, vec=vec, style=projector(levels), content=[], guidance=GUIDANCE)
        noise = torch.randn(1, 16, 16, 16, generator=torch.manual_seed(SEED))
        expected = euler(velocity(mini.transformer, given), noise, official_schedule(STEPS, 128, 128))
    assert (own - (expected / FLUX_AE.scale_factor + FLUX_AE.shift_factor)).abs().max() <= TOLERANCE
    assert (own - drawn(comfy)).abs().max() > 100 * TOLERANCE, "three large steps must matter"


def ksampler(graph: Mini, latent: Ref, text: Ref) -> Ref:
    settings = {"seed": 1, "steps": 2, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    model = graph.models[0]
    return graph.add("KSampler", model=model, positive=text, negative=text, latent_image=latent, **settings)[0]


def advanced(graph: Mini, latent: Ref, text: Ref) -> Ref:
    model = graph.models[0]
    return graph.add(
        "SamplerCustomAdvanced",
        noise=graph.add("RandomNoise", noise_seed=1)[0],
        guider=graph.add("BasicGuider", model=model, conditioning=text)[0],
        sampler=graph.add("KSamplerSelect", sampler_name="euler")[0],
        sigmas=graph.add("BasicScheduler", model=model, scheduler="simple", steps=2, denoise=1.0)[0],
        latent_image=latent,
    )[0]


def ours(graph: Mini, latent: Ref, text: Ref) -> Ref:
    settings = {"seed": 1, "steps": 2, "guidance": 4.0, "cfg": 1.0, "sampler_name": "euler", "schedule": "official"}
    return graph.add(
        "USO_Sampler", model=graph.models[0], positive=text, latent=latent, mu=1.15, denoise=1.0, **settings
    )[0]


@pytest.mark.parametrize("sampler", [ksampler, advanced, ours])
def test_sizes_are_said_by_whichever_node_samples(comfy: ComfyServer, sampler: Callable[..., Ref]) -> None:
    def draw(size: int) -> str:
        before = len(comfy.log.read_text(errors="replace"))
        graph = Mini(comfy)
        text = graph.add("CLIPTextEncode", clip=graph.models[1], text="a cat")[0]
        graph.add("SaveLatent", samples=sampler(graph, empty(graph, size), text), filename_prefix="latents/size")
        comfy.run(graph)
        return comfy.log.read_text(errors="replace")[before:]

    with pytest.raises(ComfyError, match="Got a latent of 1024 x 1024 pixels for USO-mini") as caught:
        draw(1024)
    assert caught.value.node_type in ("KSampler", "SamplerCustomAdvanced", "USO_Sampler")
    assert "pictures of 256 x 256 pixels fall apart" in draw(256)
    assert "fall apart" not in draw(128)


SAVERS: dict[str, Callable[[Node], dict[str, Any]]] = {
    "CheckpointSave": lambda m: {"model": m[0], "clip": m[1], "vae": m[2]},
    "ModelSave": lambda m: {"model": m[0]},
    "CLIPSave": lambda m: {"clip": m[1]},
    "VAESave": lambda m: {"vae": m[2]},
}


@pytest.mark.parametrize("saver", SAVERS)
def test_comfyui_saves_every_model(saver: str, comfy: ComfyServer) -> None:
    graph = Mini(comfy)
    graph.add(saver, filename_prefix=f"saved/{saver}", **SAVERS[saver](graph.models))
    comfy.run(graph)
    assert list((comfy.base / "output/saved").glob(f"{saver}*.safetensors"))


def test_both_prompts_of_flux_are_encoded(comfy: ComfyServer) -> None:
    """CLIPTextEncodeFlux gives the pooled vector one prompt and the tokens another."""
    graph = Mini(comfy)
    clip, saved = graph.models[1], {}
    for name, clip_l, t5xxl in (("same", "a cat", "a cat"), ("apart", "a red car", "a cat")):
        text = graph.add("CLIPTextEncodeFlux", clip=clip, clip_l=clip_l, t5xxl=t5xxl, guidance=3.5)[0]
        saved[name] = graph.add("SaveLatent", samples=ksampler(graph, empty(graph, 64), text), filename_prefix="l/f")
    text = graph.add("CLIPTextEncode", clip=clip, text="a cat")[0]
    plain = graph.add("FluxGuidance", conditioning=text, guidance=3.5)[0]
    saved["plain"] = graph.add("SaveLatent", samples=ksampler(graph, empty(graph, 64), plain), filename_prefix="l/f")
    run = comfy.run(graph)
    same, apart, plainly = (run.latent(saved[name]) for name in ("same", "apart", "plain"))
    assert torch.equal(same, plainly) and not torch.equal(same, apart)


def test_comfyuis_own_style_node_draws_what_ours_draws(comfy: ComfyServer) -> None:
    graph = Mini(comfy)
    text = graph.add("CLIPTextEncode", clip=graph.models[1], text=PROMPT)[0]
    model, vision, projector = (graph.models[n] for n in (0, 3, 4))
    picture = graph.picture("style", PAIR)
    seen = graph.add("CLIPVisionEncode", clip_vision=vision, image=picture, crop="none")[0]
    core = graph.add("USOStyleReference", model=model, model_patch=projector, clip_vision_output=seen)[0]
    node = graph.add("USO_Apply", model=model, positive=text, style=graph.style(), content_on_negative=False)
    saved = []
    for model, positive in ((core, text), (node[0], node[1])):
        graph.models = [model, *(graph.models[n] for n in range(1, 5))]
        saved.append(
            graph.add("SaveLatent", samples=ksampler(graph, empty(graph, 128), positive), filename_prefix="l/core")
        )
    run = comfy.run(graph)
    assert (run.latent(saved[0]) - run.latent(saved[1])).abs().max() <= TOLERANCE
