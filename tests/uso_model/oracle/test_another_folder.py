"""`verify` on a folder with other sizes, counts and times, computed by diffusers and plain formulas."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from comfyui_uso.trainer.verify import run, verify
from comfyui_uso.uso_model.autoencoder import Autoencoder
from comfyui_uso.uso_model.checkpoints.files import write_safetensors
from comfyui_uso.uso_model.config import AutoencoderConfig
from comfyui_uso.uso_model.positions import image_ids
from PIL import Image
from torch import Tensor


def autoencoder_shapes(config: AutoencoderConfig) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in Autoencoder(config).state_dict().items()}


@torch.no_grad()
def make_folder(
    oracle: SimpleNamespace,
    folder: Path,
    flux_shapes: Callable,
    lora_shapes: Callable,
    projector_shapes: Callable,
    random_weights: Callable,
) -> None:
    """Write a folder with other sizes and counts, computed by diffusers and plain formulas."""
    flux, sizes = oracle.flux_config, oracle.autoencoder_config
    generator = torch.Generator().manual_seed(6)

    def rand(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    base = random_weights(flux_shapes(flux), seed=7)
    lora = {name: 0.3 * tensor for name, tensor in random_weights(lora_shapes(flux, 3), seed=8).items()}
    projector = random_weights(projector_shapes(20, 5, 48, 256), seed=9)
    merged = {name: tensor.clone() for name, tensor in base.items()}
    targets = {"qkv_lora1": "img_attn.qkv", "proj_lora1": "img_attn.proj", "qkv_lora2": "txt_attn.qkv"}
    targets |= {"proj_lora2": "txt_attn.proj", "qkv_lora": "linear1", "proj_lora": "linear2"}
    for name in lora:
        if name.endswith(".up.weight"):
            block, part = name.removesuffix(".up.weight").split(".processor.")
            delta = lora[name] @ lora[name.replace(".up.", ".down.")]
            merged[f"{block}.{targets[part]}.weight"][: delta.shape[0]] += delta
    network = oracle.flux(merged, flux)

    given = {"txt": rand(1, 6, 40), "vec": rand(1, 24), "noise": rand(1, 8, 10, 14)}
    grids = [(2, 3), (4, 1), (3, 3)]
    refs, (row, column) = [], (5, 7)
    for i, (rows, columns) in enumerate(grids):
        given[f"ref{i}"] = rand(1, 8, 2 * rows, 2 * columns)
        ids = torch.tensor([[0.0, row + r, column + c] for r in range(rows) for c in range(columns)])
        refs.append((oracle.tokens(given[f"ref{i}"]), ids))
        row, column = row + rows, column + columns
    n, d = torch.arange(20, dtype=torch.float64)[:, None], torch.arange(48, dtype=torch.float64)[None]
    styles = []
    for i in range(3):
        levels = [
            (1.5 * torch.sin(0.2 * (level + 1) + 0.03 * (i + 1) * n - 0.07 * d)).float()[None] for level in range(3)
        ]
        styles.append(oracle.projector(projector, levels))
        given[f"style{i}_tokens"] = styles[i]

    counts = {
        "plain": (0, 0, 1.0),
        "three_styles": (0, 3, 0.8),
        "three_refs": (3, 0, 0.6),
        "all": (3, 3, 0.25),
    }
    tokens, ids = oracle.tokens(given["noise"]), image_ids(5, 7)
    for name, (n_refs, n_styles, t) in counts.items():
        v = oracle.velocity(
            network, tokens, (5, 7), given["txt"], given["vec"], t, 2.5, styles[:n_styles], refs[:n_refs]
        )
        given[f"{name}.velocity"], given[f"{name}.img_ids"] = v, ids[None]
        given |= {f"{name}.ref_ids{i}": refs[i][1][None] for i in range(n_refs)}
    times, x = [1.0, 0.6, 0.1, 0.0], tokens
    for now, then in pairwise(times):
        v = oracle.velocity(network, x, (5, 7), given["txt"], given["vec"], now, 2.5, styles[:2], refs[:2])
        x = x + (then - now) * v
    given["denoise3.latent"] = F.fold(x.transpose(1, 2), (10, 14), kernel_size=2, stride=2)

    ae = random_weights(autoencoder_shapes(sizes), seed=10)
    their_ae = oracle.autoencoder(ae, sizes)
    pixels = torch.rand(1, 3, 16, 24, generator=generator) * 2 - 1
    latent = sizes.scale_factor * (their_ae.encode(pixels).latent_dist.mean - sizes.shift_factor)
    decoded = their_ae.decode(latent / sizes.scale_factor + sizes.shift_factor).sample

    picture = torch.randint(0, 256, (70, 40, 3), generator=generator, dtype=torch.uint8)
    fitted = Image.fromarray(picture.numpy()).resize((64 * 40 // 70, 64), Image.Resampling.LANCZOS).crop((2, 0, 34, 64))
    after = torch.tensor(list(fitted.tobytes()), dtype=torch.uint8).reshape(64, 32, 3)

    sigma = torch.exp(torch.tensor((1.15 - 0.5) / (4096 - 256) * (9 - 256) + 0.5, dtype=torch.float64))
    t = torch.linspace(1, 0, 4, dtype=torch.float64)
    cases = {
        "height": 80,
        "width": 112,
        "guidance": 2.5,
        "style_hidden_states": "channel d = 1.5*sin(0.2*(l+1) + 0.03*(i+1)*n - 0.07*d), computed in float64",
        "cases": {k: {"refs": r, "styles": s, "t": t} for k, (r, s, t) in counts.items()},
        "denoise3": {"timesteps": times, "refs": 2, "styles": 2},
        "schedules": {"384x400@3": [(sigma * v / (sigma * v + 1 - v)).item() for v in t]},
    }
    configs = {
        "config": {**vars(flux), "remark": "ignored"},
        "ae_config": vars(sizes),
        "cases": cases,
    }
    for name, entries in configs.items():
        (folder / f"{name}.json").write_text(json.dumps(entries))
    for name, tensors in {
        "flux_tiny": base,
        "dit_lora": lora,
        "projector": projector,
        "cases": given,
        "ae_tiny": ae,
        "ae_cases": {"pixels": pixels, "latent_mean": latent, "decoded": decoded},
        "preprocess_content": {"0.in": picture, "0.out": after, "0.long_size": torch.tensor(64)},
    }.items():
        write_safetensors(folder / f"{name}.safetensors", tensors)


def test_verify_takes_another_folder(
    oracle: SimpleNamespace,
    tmp_path: Path,
    flux_shapes: Callable,
    lora_shapes: Callable,
    projector_shapes: Callable,
    random_weights: Callable,
) -> None:
    make_folder(oracle, tmp_path, flux_shapes, lora_shapes, projector_shapes, random_weights)
    errors = verify(tmp_path)
    assert set(errors) == {
        *("projector.style0", "projector.style1", "projector.style2"),
        *("plain", "three_styles", "three_refs", "all", "ids", "denoise3"),
        *("ae.encode", "ae.decode", "schedules", "preprocess"),
    }
    assert max(errors.values()) <= 1e-4, errors
    assert errors["ids"] == 0 and errors["preprocess"] == 0
    text, code = run(tmp_path)
    assert code == 0 and json.loads(text).keys() == errors.keys()
