"""What the trainer exports loads in stock ComfyUI without a key left over, and draws what the trainer itself draws."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from comfyui_uso.trainer.data.manifest import Row, write_manifest
from comfyui_uso.trainer.encoders import Encoders, Gaussian
from comfyui_uso.trainer.encoders.pretrained import load_siglip
from comfyui_uso.trainer.engine.checkpoint import latest
from comfyui_uso.trainer.export.names import meant
from comfyui_uso.trainer.export.run import export_run
from comfyui_uso.trainer.networks import Networks, build_networks
from comfyui_uso.trainer.reading.recipe_files import make_recipe
from comfyui_uso.trainer.recipe import TrainConfig
from comfyui_uso.trainer.train import train
from comfyui_uso.uso_model.checkpoints import read_shapes, save_projector, save_transformer
from comfyui_uso.uso_model.images import picture_tensor
from comfyui_uso.uso_model.projector import HierarchicalProjector
from comfyui_uso.uso_model.sampling import Conditioning, euler, velocity
from comfyui_uso.uso_model.schedule import official_schedule
from comfyui_uso.uso_model.style import StyleFeatures, select_style_features, siglip_preprocess
from comfyui_uso.uso_model.transformer import UsoTransformer
from PIL import Image
from torch import Tensor

from .graphs import Tiny
from .server import ComfyServer
from .weights import POOLED, TEXT, TINY

TOLERANCE = 1e-3
PIXELS, GUIDANCE, SEED, STEPS = 64, 4.0, 21, 3
SCALE, SHIFT = 0.3611, 0.1159
DEEP = replace(TINY, hidden_size=128, num_heads=1, depth=19, depth_single_blocks=38)
"""All of FLUX.1's blocks, one head wide: the layout that USO's own key names need."""


def text(prompt: str) -> tuple[Tensor, Tensor]:
    """Return what the TestPrompt node makes of the seed in a prompt, with 12 tokens."""
    generator = torch.Generator().manual_seed(int(prompt or 0))
    return torch.randn(12, TEXT, generator=generator), torch.randn(POOLED, generator=generator)


def latent(picture: Image.Image) -> Gaussian:
    pooled = torch.nn.functional.avg_pool2d(picture_tensor(picture), 8)[0]
    return Gaussian(pooled.repeat(6, 1, 1)[:16], logvar=None)


def encoders(style: Any = None) -> Encoders:
    """Return encoders of made-up text and latents; style features come from the given function."""
    names = {"latent": "pooled", "style": "siglip", "text": "seed"}
    return Encoders(latent, style, text, lambda x: x, {}, names, lambda: None)


def trained(tmp_path: Path, style: Any, **models: Any) -> tuple[TrainConfig, Networks]:
    """Train a few large steps on two rows; return the recipe and the networks with what was trained in them."""
    rows = []
    for n, colour in enumerate(((200, 40, 90), (20, 160, 220))):
        for part in ("t", "s", "c"):
            Image.linear_gradient("L").resize((PIXELS, PIXELS)).convert("RGB").save(tmp_path / f"{n}{part}.png")
            Image.new("RGB", (PIXELS, PIXELS), colour).save(tmp_path / f"{n}t.png")
        styles = [tmp_path / f"{n}s.png"] if style else []
        rows.append(
            Row(id=str(n), target=tmp_path / f"{n}t.png", style=styles, content=tmp_path / f"{n}c.png", prompt="6")
        )
    write_manifest(rows, tmp_path / "manifest.jsonl")
    config = make_recipe(
        {
            "stage": "triplet",
            "data": {"manifests": [tmp_path / "manifest.jsonl"], "cache": tmp_path / "cache", "size": PIXELS}
            | {"content_size": PIXELS},
            "models": {"mini": True, **models},
            "lora": {"rank": 4},
            "train_projector": style is not None,
            "conditions": {"dropout": 0.0, "style_path": "siglip" if style else "vae"},
            "memory": {"base": "fp32"},
            "out": tmp_path / "out",
            "loop": {"run_dir": tmp_path / "run", "steps": 3, "batch_size": 1, "learning_rate": 0.02, "loggers": []},
        }
    )
    train(config, encoders(style))
    networks = build_networks(config, torch.device("cpu"))
    networks.together.load_state_dict(latest(config.loop.run_dir).trained(), strict=False)
    return config, networks


def drawn_by_the_trainer(networks: Networks, style: StyleFeatures | None, content: Tensor) -> Tensor:
    """Sample with the live adapters; return the latent as ComfyUI scales it."""
    txt, vec = text("6")
    tokens = None if style is None else networks.projector(StyleFeatures(*(level[None] for level in style)))
    given = Conditioning(
        txt=txt[None], vec=vec[None], style=tokens, content=((content - SHIFT) * SCALE,), guidance=GUIDANCE
    )
    noise = torch.randn(1, 16, PIXELS // 8, PIXELS // 8, generator=torch.manual_seed(SEED))
    with torch.inference_mode():
        x = euler(velocity(networks.transformer, given), noise, official_schedule(STEPS, PIXELS, PIXELS))
    return x / SCALE + SHIFT


def drawn_by_comfyui(comfy: ComfyServer, graph: Tiny, model: Any, positive: Any, content: Any) -> tuple[Tensor, Tensor]:
    """Sample in the server; return the latent, and the content's latent."""
    encoded = graph.save(graph.add("VAEEncode", pixels=content, vae=graph.vae())[0])
    sampled = graph.add(
        "USO_Sampler",
        model=model,
        positive=graph.core_content(positive, content),
        latent=graph.empty(pixels=PIXELS),
        seed=SEED,
        steps=STEPS,
        guidance=GUIDANCE,
        cfg=1.0,
        sampler_name="euler",
        schedule="official",
        mu=0.8,
        denoise=1.0,
    )
    saved = graph.save(sampled[0])
    run = comfy.run(graph)
    return run.latent(saved), run.latent(encoded)


@pytest.fixture
def log(comfy: ComfyServer) -> Iterator[None]:
    """Fail when the server complains about a key of a LoRA while the test runs."""
    before = len(comfy.log.read_text(errors="replace"))
    yield
    told = comfy.log.read_text(errors="replace")[before:]
    assert "lora key not loaded" not in told and "NOT LOADED" not in told, told


def test_all_304_keys_through_the_stock_loader(comfy: ComfyServer, tmp_path: Path, log: None) -> None:
    """19 + 38 blocks: the export has USO's own names, and ComfyUI applies every one."""
    torch.manual_seed(5)
    base = comfy.base / "models/diffusion_models/deep-flux.safetensors"
    network = UsoTransformer(DEEP)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 2:
                parameter.normal_(0, 0.04)
    save_transformer(base, network, "fp32")
    config, networks = trained(tmp_path, None, transformer=base)
    report = export_run(config.loop.run_dir, out=tmp_path / "wide", dtype="fp32")
    assert "304/304 keys map" in report and len(read_shapes(meant(tmp_path / "wide", "lora"))) == 304
    written = meant(tmp_path / "wide", "lora").read_bytes()
    (comfy.base / "models/loras/deep-lora.safetensors").write_bytes(written)

    latents = []
    for strength in (1.0, 0.0):
        graph = Tiny()
        model = graph.add("UNETLoader", unet_name="deep-flux.safetensors", weight_dtype="default")[0]
        model = graph.lora(model, "deep-lora.safetensors", strength)
        got, content = drawn_by_comfyui(comfy, graph, model, graph.prompt(6, 12), graph.picture(8, PIXELS, PIXELS))
        latents.append(got)
    expected = drawn_by_the_trainer(networks, None, content)
    assert (latents[0] - expected).abs().max() <= TOLERANCE
    assert (latents[1] - expected).abs().max() > 50 * TOLERANCE, "the LoRA must matter"


@pytest.mark.long
def test_lora_and_projector_of_real_width(comfy: ComfyServer, wide_files: Path, tmp_path: Path, log: None) -> None:
    """FLUX.1's width, SigLIP's and the projector's real sizes: the only ones that the stock ModelPatchLoader takes."""
    start = tmp_path / "start.safetensors"
    torch.manual_seed(6)
    save_projector(start, HierarchicalProjector(729, 64, 1152, 3072))
    tower = load_siglip(wide_files / "clip_vision/wide-siglip.safetensors", torch.float32, torch.device("cpu"))

    @torch.no_grad()
    def style(picture: Image.Image) -> StyleFeatures:
        states = tower(pixel_values=siglip_preprocess(picture), output_hidden_states=True).hidden_states
        return StyleFeatures(*(level[0] for level in select_style_features(states, 27)))

    base = wide_files / "diffusion_models/wide-flux.safetensors"
    config, networks = trained(tmp_path, style, transformer=base, projector=start)
    export_run(config.loop.run_dir, out=tmp_path / "wide", dtype="fp32")
    assert len(read_shapes(meant(tmp_path / "wide", "projector"))) == 18
    for folder, kind in (("loras", "lora"), ("model_patches", "projector")):
        written = meant(tmp_path / "wide", kind).read_bytes()
        (wide_files / folder / f"trained-{kind}.safetensors").write_bytes(written)

    graph = Tiny()
    model = graph.add("UNETLoader", unet_name="wide-flux.safetensors", weight_dtype="default")[0]
    model = graph.lora(model, "trained-lora.safetensors")
    vision = graph.add("CLIPVisionLoader", clip_name="wide-siglip.safetensors")[0]
    picture = graph.picture(9, 384, 384)
    seen = graph.add("CLIPVisionEncode", clip_vision=vision, image=picture, crop="none")[0]
    patch = graph.add("ModelPatchLoader", name="trained-projector.safetensors")[0]
    styled = graph.add("USOStyleReference", model=model, model_patch=patch, clip_vision_output=seen)[0]
    got, content = drawn_by_comfyui(comfy, graph, styled, graph.prompt(6, 12), graph.picture(8, PIXELS, PIXELS))
    coarse = torch.rand(1, 3, 5, 5, generator=torch.Generator().manual_seed(9))
    smooth = torch.nn.functional.interpolate(coarse, (384, 384), mode="bilinear")[0]
    same = Image.fromarray((smooth.movedim(0, -1) * 255).round().byte().numpy())
    expected = drawn_by_the_trainer(networks, style(same), content)
    assert (got - expected).abs().max() <= TOLERANCE
