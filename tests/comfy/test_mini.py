"""USO-mini: the whole way through ComfyUI equals the whole way through `uso_model`."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO

import numpy
import pytest
import torch
from comfyui_uso.mini.model import load_mini, missing_files
from comfyui_uso.uso_model.config import FLUX_AE
from comfyui_uso.uso_model.images import fit_content_image
from comfyui_uso.uso_model.sampling import Conditioning, euler, velocity
from comfyui_uso.uso_model.schedule import official_schedule
from comfyui_uso.uso_model.style import siglip_preprocess
from PIL import Image

from .server import ComfyServer, Graph

TOLERANCE = 1e-4
PROMPT, SEED, STEPS, GUIDANCE = "a red car on the road", 5, 4, 4.0

pytestmark = pytest.mark.skipif(bool(missing_files()), reason=f"USO-mini lacks {', '.join(missing_files())}")


@pytest.fixture(autouse=True)
def _no_grad() -> Iterator[None]:
    with torch.inference_mode():
        yield


def picture(seed: int, width: int, height: int) -> Image.Image:
    coarse = numpy.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=numpy.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def uploaded(comfy: ComfyServer, graph: Graph, name: str, image: Image.Image) -> list[object]:
    data = BytesIO()
    image.save(data, "PNG")
    return graph.add("LoadImage", image=comfy.upload(name, data.getvalue()))[0]


@pytest.mark.parametrize(("style", "content"), [(True, True), (True, False), (False, True), (False, False)])
def test_pictures_in_latent_out(comfy: ComfyServer, style: bool, content: bool) -> None:
    style_image, content_image = picture(1, 128, 128), picture(2, 150, 100)
    graph = Graph()
    loaded = graph.add("USO_LoadMini", lora_strength=1.0)
    model, clip, vae, vision, projector = (loaded[n] for n in range(5))
    features = graph.add(
        "USO_EncodeStyle",
        clip_vision=vision,
        image=uploaded(comfy, graph, "style.png", style_image),
        fit="squash",
    )
    subject = graph.add(
        "USO_EncodeContent",
        vae=vae,
        image=uploaded(comfy, graph, "content.png", content_image),
        long_side=128,
        latent_long_side=128,
    )
    node = graph.add(
        "USO_Apply",
        model=model,
        positive=graph.add("CLIPTextEncode", clip=clip, text=PROMPT)[0],
        style=graph.add("USO_ProjectStyle", features=features[0], projector=projector)[0] if style else None,
        content=subject[0] if content else None,
        content_on_negative=False,
    )
    latent = graph.add("EmptySD3LatentImage", width=128, height=128, batch_size=1)[0]
    sampled = graph.add(
        "USO_Sampler",
        model=node[0],
        positive=node[1],
        latent=latent,
        seed=SEED,
        steps=STEPS,
        guidance=GUIDANCE,
        cfg=1.0,
        sampler_name="euler",
        schedule="official",
        mu=1.15,
        denoise=1.0,
    )
    saved = graph.add("SaveLatent", samples=sampled[0], filename_prefix="latents/mini")
    graph.add("PreviewImage", images=graph.add("VAEDecode", samples=sampled[0], vae=vae)[0])
    run = comfy.run(graph)

    models = load_mini()
    encoders = models.encoders
    txt, vec = encoders.text(encoders.tokenizer.batch([PROMPT]))
    levels, _ = encoders.vision(siglip_preprocess(style_image, encoders.vision.picture_size))
    fitted = planes(fit_content_image(content_image, 128)) * 2 - 1
    given = Conditioning(
        txt=txt,
        vec=vec,
        style=models.projector(levels) if style else None,
        content=[encoders.autoencoder.encode(fitted)] if content else [],
        guidance=GUIDANCE,
    )
    noise = torch.randn(1, 16, 16, 16, generator=torch.manual_seed(SEED))
    ours = euler(velocity(models.transformer, given), noise, official_schedule(STEPS, 128, 128))
    expected = ours / FLUX_AE.scale_factor + FLUX_AE.shift_factor
    assert (run.latent(saved) - expected).abs().max() <= TOLERANCE


def planes(image: Image.Image) -> torch.Tensor:
    """Return a picture as `1 3 h w` in 0..1."""
    return torch.from_numpy(numpy.array(image)).float().movedim(-1, 0)[None] / 255
