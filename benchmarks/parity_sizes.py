"""Print the sizes of the differences from the official code that docs/parity.md lists.

    python benchmarks/parity_sizes.py

Needs neither ComfyUI nor a GPU. Networks are the tiny ones of tests/data/golden, whose random weights exaggerate.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from comfyui_uso.uso_model import transformer
from comfyui_uso.uso_model.autoencoder import Autoencoder
from comfyui_uso.uso_model.checkpoints import load_transformer, merge_lora, read_lora
from comfyui_uso.uso_model.config import AutoencoderConfig
from comfyui_uso.uso_model.images import layout_size
from comfyui_uso.uso_model.math import timestep_embedding
from comfyui_uso.uso_model.sampling import Conditioning, euler, velocity
from comfyui_uso.uso_model.schedule import official_schedule
from comfyui_uso.uso_model.style import SIGLIP_SIZE, select_style_features, siglip_pixels, siglip_preprocess
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from transformers import SiglipVisionConfig, SiglipVisionModel

DATA = Path(__file__).parents[1] / "tests/data"
GOLDEN, PHOTOS = DATA / "golden", ("cat", "astronaut")


def style_pixels() -> None:
    """Compare the official resize with one in floating point, which ComfyUI's CLIP Vision Encode does."""
    for name in PHOTOS:
        photo = Image.open(DATA / f"official/{name}.png").convert("RGB")
        exact = torch.from_numpy(siglip_pixels(photo).copy()).movedim(-1, 0)[None].float()
        pixels = torch.from_numpy(np.asarray(photo).copy()).movedim(-1, 0)[None].float()
        resized = F.interpolate(pixels, size=exact.shape[-2:], mode="bicubic", antialias=True).clamp(0, 255).round()
        difference = (resized - exact).abs()
        print(f"style pixels, {name}: at most {difference.max():.0f} of 255 levels, mean {difference.mean():.2f}")


def drawn_sizes(count: int = 20_000) -> None:
    """Compare the two size rules on random sizes of an aspect ratio up to 4."""
    source, furthest, differ = random.Random(0), 0, 0
    for _ in range(count):
        width = source.randint(256, 4096)
        height = round(width * 2 ** source.uniform(-2, 2))
        scale = 1024 / max(width, height)
        nearest = [max(16, round(side * scale / 16) * 16) for side in (width, height)]
        away = max(abs(a - b) for a, b in zip(nearest, layout_size(width, height, 1024), strict=True))
        differ, furthest = differ + (away > 0), max(furthest, away)
    print(f"drawn size: the rules differ for {differ / count:.0%} of random sizes, by up to {furthest} pixels")


def half_precision() -> None:
    """Compare the autoencoder in bfloat16 with itself in float32."""
    config = json.loads((GOLDEN / "ae_config.json").read_text(encoding="utf-8"))
    fields = {name: value for name, value in config.items() if name in AutoencoderConfig.__dataclass_fields__}
    model = Autoencoder(AutoencoderConfig(**{**fields, "ch_mult": tuple(fields["ch_mult"])})).eval()
    model.load_state_dict({name: part.float() for name, part in load_file(GOLDEN / "ae_tiny.safetensors").items()})
    given = load_file(GOLDEN / "ae_cases.safetensors")
    pixels, latent = given["pixels"].float(), given["latent_mean"].float()
    encoded, decoded = model.encode(pixels), model.decode(latent)
    model.bfloat16()
    for name, exact, rounded in (
        ("encodes", encoded, model.encode(pixels.bfloat16())),
        ("decodes", decoded, model.decode(latent.bfloat16())),
    ):
        print(f"VAE in bfloat16 {name}: {relative(rounded.float(), exact):.1e} of the values")


def siglip_weights() -> None:
    """Round the weights of a random SigLIP of 27 layers to float16, as ComfyUI keeps them."""
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "num_hidden_layers": 27}
    torch.manual_seed(0)
    model = SiglipVisionModel(SiglipVisionConfig(**sizes, image_size=SIGLIP_SIZE, patch_size=14)).eval()
    pixels = siglip_preprocess(Image.open(DATA / f"official/{PHOTOS[0]}.png"))
    exact = model(pixel_values=pixels, output_hidden_states=True).hidden_states
    rounded = model.half().float()(pixel_values=pixels, output_hidden_states=True).hidden_states
    levels = zip(select_style_features(rounded, 27), select_style_features(exact, 27), strict=True)
    print(f"SigLIP's weights in float16: at most {max(relative(a, b) for a, b in levels):.1e} of its features")


def embeddings(steps: int = 25) -> None:
    """Round nothing but the embeddings of time and guidance to bfloat16, as the official code does."""
    given = {name: part.float() for name, part in load_file(GOLDEN / "cases.safetensors").items()}
    model = load_transformer(GOLDEN / "flux_tiny.safetensors", torch.float32)
    merge_lora(model, read_lora(GOLDEN / "dit_lora.safetensors"))
    times = official_schedule(steps, 192, 128)
    for guidance in (4.0, 3.5):
        conditions = Conditioning(txt=given["txt"], vec=given["vec"], guidance=guidance)
        exact = euler(velocity(model, conditions), given["noise"], times)
        transformer.timestep_embedding = lambda t, dim: timestep_embedding(t.bfloat16(), dim).float()
        rounded = euler(velocity(model, conditions), given["noise"], times)
        transformer.timestep_embedding = timestep_embedding
        print(f"embeddings in bfloat16, guidance {guidance}: {relative(rounded, exact):.1e} of the latent")
    for value in (times[1].item(), 3.5, 4.0):
        rounded_value = (1000 * torch.tensor(value).bfloat16()).item()
        print(f"embedded in float32: {1000 * value:.1f}, in bfloat16: {rounded_value:.0f}")


def noise() -> None:
    """Compare the noise of one seed in both precisions."""
    one, two = (
        torch.randn(1, 16, 128, 128, dtype=dtype, generator=torch.Generator().manual_seed(3407)).float().flatten()
        for dtype in (torch.float32, torch.bfloat16)
    )
    print(f"noise of one seed in float32 and bfloat16: correlation {torch.corrcoef(torch.stack([one, two]))[0, 1]:.3f}")


def relative(found: Tensor, exact: Tensor) -> float:
    """Return the root mean square of an error over that of the values."""
    return ((found - exact).norm() / exact.norm()).item()


if __name__ == "__main__":
    with torch.no_grad():
        for measure in (style_pixels, drawn_sizes, half_precision, siglip_weights, embeddings, noise):
            measure()
