"""A quantised FLUX from a real GGUF file, read by the loader of the pack ComfyUI-GGUF, under the pack's nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from .conftest import GGUF
from .graphs import Tiny
from .server import ComfyServer

gguf = pytest.importorskip("gguf", reason="no package gguf, which ComfyUI-GGUF needs: pip install gguf")
pytestmark = pytest.mark.skipif(not GGUF.is_dir(), reason=f"no {GGUF}")

Q8, F32 = gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.F32
BLOCK = 32
"""Numbers that share one scale in Q8_0, all of one row."""


@pytest.fixture(scope="module")
def files(comfy: ComfyServer) -> None:
    """Write the tiny FLUX as GGUF, wide matrices in eight bits, and the same rounded weights as safetensors."""
    folder = comfy.base / "models/diffusion_models"
    write_both(folder / "tiny-flux.safetensors", folder / "tiny-q8.gguf", folder / "tiny-rounded.safetensors")


def write_both(source: Path, quantised: Path, rounded: Path) -> None:
    writer = gguf.GGUFWriter(quantised, "flux")
    kept = {}
    for name, tensor in safetensors.torch.load_file(source).items():
        wide = tensor.ndim == 2 and tensor.shape[1] % BLOCK == 0
        data = gguf.quants.quantize(tensor.numpy(), Q8 if wide else F32)
        writer.add_tensor(name, data, raw_dtype=Q8 if wide else F32)
        kept[name] = torch.from_numpy(gguf.quants.dequantize(data, Q8 if wide else F32).copy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    safetensors.torch.save_file(kept, rounded)


@pytest.mark.parametrize("blocks", ["", "d0:0.5, s0-1:0"])
@pytest.mark.parametrize("strength", [1.0, 1.6])
def test_a_quantised_network_takes_references_and_lora(
    comfy: ComfyServer, tiny: Tiny, files: None, strength: float, blocks: str
) -> None:
    def drawn(model: Any, strength: float, **references: Any) -> Any:
        if blocks:
            references |= {"style_blocks": blocks}
        node = tiny.apply(tiny.lora(model), tiny.prompt(), style_strength=strength, **references)
        return tiny.ksampler(node[0], node[1])

    style = tiny.style(tiny.picture(50))
    content = tiny.content(tiny.picture(51, 96, 60))
    quantised = tiny.add(
        "UnetLoaderGGUFAdvanced",
        unet_name="tiny-q8.gguf",
        dequant_dtype="float32",
        patch_dtype="float32",
        patch_on_device=False,
    )[0]
    rounded = tiny.add("UNETLoader", unet_name="tiny-rounded.safetensors", weight_dtype="default")[0]
    theirs = drawn(quantised, strength, style=style, content=content)
    ours = drawn(rounded, strength, style=style, content=content)
    without = drawn(quantised, strength)
    run = comfy.run(tiny)
    assert torch.equal(run.latent(theirs), run.latent(ours))
    assert (run.latent(theirs) - run.latent(without)).abs().max() > 0.05
