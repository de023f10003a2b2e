"""The same weights through diffusers, an implementation that shares no line with ours or with the official code."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from comfyui_uso.uso_model.autoencoder import Autoencoder
from comfyui_uso.uso_model.checkpoints.files import read_safetensors, write_safetensors
from comfyui_uso.uso_model.checkpoints.flux import from_bfl
from comfyui_uso.uso_model.checkpoints.strict import load_strict
from comfyui_uso.uso_model.config import AutoencoderConfig, FluxConfig
from comfyui_uso.uso_model.positions import image_ids, text_ids
from comfyui_uso.uso_model.transformer import UsoTransformer
from comfyui_uso.uso_model.verify import run, verify
from diffusers import AutoencoderKL, FluxTransformer2DModel
from PIL import Image
from torch import Tensor

FLUX = FluxConfig(
    in_channels=32,
    vec_in_dim=24,
    context_in_dim=40,
    hidden_size=256,
    mlp_ratio=4.0,
    num_heads=2,
    depth=1,
    depth_single_blocks=2,
    axes_dim=(16, 56, 56),
    theta=10_000,
    qkv_bias=True,
    guidance_embed=True,
)
AE = AutoencoderConfig(
    in_channels=3, ch=32, out_ch=3, ch_mult=(1, 2), num_res_blocks=2, z_channels=8, scale_factor=0.7, shift_factor=-0.2
)

_EMBEDDERS = {"time_in": "timestep_embedder", "vector_in": "text_embedder", "guidance_in": "guidance_embedder"}
_STREAMS = {
    "img": ("norm1", ("to_q", "to_k", "to_v"), "to_out.0", ("norm_q", "norm_k"), "ff"),
    "txt": (
        "norm1_context",
        ("add_q_proj", "add_k_proj", "add_v_proj"),
        "to_add_out",
        ("norm_added_q", "norm_added_k"),
        "ff_context",
    ),
}


def to_diffusers(bfl: dict[str, Tensor], config: FluxConfig) -> dict[str, Tensor]:
    """Rename BFL weights to diffusers' names; its final modulation holds scale before shift, BFL's shift first."""
    out: dict[str, Tensor] = {}

    def move(old: str, new: str) -> None:
        for leaf in ("weight", "bias"):
            out[f"{new}.{leaf}"] = bfl[f"{old}.{leaf}"]

    def spread(old: str, new: list[str], sizes: list[int]) -> None:
        for leaf in ("weight", "bias"):
            for name, part in zip(new, bfl[f"{old}.{leaf}"].split(sizes), strict=True):
                out[f"{name}.{leaf}"] = part

    h = config.hidden_size
    move("img_in", "x_embedder")
    move("txt_in", "context_embedder")
    for old, new in _EMBEDDERS.items():
        move(f"{old}.in_layer", f"time_text_embed.{new}.linear_1")
        move(f"{old}.out_layer", f"time_text_embed.{new}.linear_2")
    for i in range(config.depth):
        a, b = f"double_blocks.{i}", f"transformer_blocks.{i}"
        for stream, (norm, qkv, proj, norms, ff) in _STREAMS.items():
            move(f"{a}.{stream}_mod.lin", f"{b}.{norm}.linear")
            spread(f"{a}.{stream}_attn.qkv", [f"{b}.attn.{name}" for name in qkv], [h, h, h])
            move(f"{a}.{stream}_attn.proj", f"{b}.attn.{proj}")
            for side, name in zip(("query", "key"), norms, strict=True):
                out[f"{b}.attn.{name}.weight"] = bfl[f"{a}.{stream}_attn.norm.{side}_norm.scale"]
            move(f"{a}.{stream}_mlp.0", f"{b}.{ff}.net.0.proj")
            move(f"{a}.{stream}_mlp.2", f"{b}.{ff}.net.2")
    for i in range(config.depth_single_blocks):
        a, b = f"single_blocks.{i}", f"single_transformer_blocks.{i}"
        move(f"{a}.modulation.lin", f"{b}.norm.linear")
        names = [f"{b}.attn.to_q", f"{b}.attn.to_k", f"{b}.attn.to_v", f"{b}.proj_mlp"]
        spread(f"{a}.linear1", names, [h, h, h, int(h * config.mlp_ratio)])
        move(f"{a}.linear2", f"{b}.proj_out")
        out[f"{b}.attn.norm_q.weight"] = bfl[f"{a}.norm.query_norm.scale"]
        out[f"{b}.attn.norm_k.weight"] = bfl[f"{a}.norm.key_norm.scale"]
    move("final_layer.linear", "proj_out")
    for leaf in ("weight", "bias"):
        shift, scale = bfl[f"final_layer.adaLN_modulation.1.{leaf}"].chunk(2)
        out[f"norm_out.linear.{leaf}"] = torch.cat([scale, shift])
    return out


def diffusers_flux(bfl: dict[str, Tensor], config: FluxConfig) -> FluxTransformer2DModel:
    model = FluxTransformer2DModel(
        in_channels=config.in_channels,
        num_layers=config.depth,
        num_single_layers=config.depth_single_blocks,
        attention_head_dim=128,
        num_attention_heads=config.num_heads,
        joint_attention_dim=config.context_in_dim,
        pooled_projection_dim=config.vec_in_dim,
        guidance_embeds=config.guidance_embed,
        axes_dims_rope=config.axes_dim,
    )
    model.load_state_dict(to_diffusers(bfl, config), strict=True)
    return model.eval()


def diffusers_autoencoder(bfl: dict[str, Tensor], config: AutoencoderConfig) -> AutoencoderKL:
    levels = len(config.ch_mult)
    model = AutoencoderKL(
        in_channels=config.in_channels,
        out_channels=config.out_ch,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=tuple(config.ch * m for m in config.ch_mult),
        layers_per_block=config.num_res_blocks,
        latent_channels=config.z_channels,
        norm_num_groups=32,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )
    rules = [
        (r"\.down\.(\d+)\.block\.", r".down_blocks.\1.resnets."),
        (r"\.down\.(\d+)\.downsample\.", r".down_blocks.\1.downsamplers.0."),
        (r"\.up\.(\d+)\.block\.", lambda m: f".up_blocks.{levels - 1 - int(m[1])}.resnets."),
        (r"\.up\.(\d+)\.upsample\.", lambda m: f".up_blocks.{levels - 1 - int(m[1])}.upsamplers.0."),
        (r"\.mid\.block_([12])\.", lambda m: f".mid_block.resnets.{int(m[1]) - 1}."),
        (r"\.mid\.attn_1\.([qkv])\.", r".mid_block.attentions.0.to_\1."),
        (r"\.mid\.attn_1\.norm\.", r".mid_block.attentions.0.group_norm."),
        (r"\.mid\.attn_1\.proj_out\.", r".mid_block.attentions.0.to_out.0."),
        (r"\.nin_shortcut\.", r".conv_shortcut."),
        (r"\.norm_out\.", r".conv_norm_out."),
    ]
    renamed = {}
    for name, tensor in bfl.items():
        for pattern, new in rules:
            name = re.sub(pattern, new, name)
        renamed[name] = tensor.flatten(1) if ".to_" in name and tensor.ndim == 4 else tensor
    model.load_state_dict(renamed, strict=True)
    return model.eval()


def autoencoder_shapes(config: AutoencoderConfig) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in Autoencoder(config).state_dict().items()}


def oracle_velocity(
    model: FluxTransformer2DModel,
    tokens: Tensor,
    grid: tuple[int, int],
    txt: Tensor,
    vec: Tensor,
    t: float,
    guidance: float,
    styles: list[Tensor],
    refs: list[tuple[Tensor, Tensor]],
) -> Tensor:
    """Run diffusers on USO's joint sequence: style tokens join behind its text embedder, references behind the image."""
    style = torch.cat(styles, dim=1) if styles else None
    handle = model.context_embedder.register_forward_hook(
        lambda _module, _inputs, out: out if style is None else torch.cat([style, out], dim=1)
    )
    rows, columns = torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
    ids = torch.stack([torch.zeros_like(rows), rows, columns], dim=-1).reshape(-1, 3).float()
    try:
        out = model(
            hidden_states=torch.cat([tokens, *(ref for ref, _ in refs)], dim=1),
            encoder_hidden_states=txt,
            pooled_projections=vec,
            timestep=torch.tensor([t]),
            guidance=torch.tensor([guidance]),
            img_ids=torch.cat([ids, *(ref_ids for _, ref_ids in refs)]),
            txt_ids=torch.zeros(txt.shape[1] + (0 if style is None else style.shape[1]), 3),
        ).sample
    finally:
        handle.remove()
    return out[:, : tokens.shape[1]]


def two_by_two(latent: Tensor) -> Tensor:
    """Tokens of a latent by slicing: channel-major, then row, then column inside a token."""
    corners = [latent[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)]
    return torch.stack(corners, dim=2).flatten(1, 2).flatten(2).transpose(1, 2)


def oracle_projector(weights: dict[str, Tensor], features: list[Tensor]) -> Tensor:
    """The projector as three sums over indices."""
    out = []
    for level, x in zip(("high", "mid", "low"), features, strict=True):
        at = f"feature_embedder.{level}"
        mixed = torch.einsum("sn,bnc->bsc", weights[f"{at}_embedding_linear.0.weight"], x)
        mixed = mixed + weights[f"{at}_embedding_linear.0.bias"][None, :, None]
        mixed = mixed * torch.sigmoid(mixed)
        mean, var = mixed.mean(-1, keepdim=True), mixed.var(-1, keepdim=True, unbiased=False)
        normed = (mixed - mean) / (var + 1e-5).sqrt()
        normed = normed * weights[f"{at}_layer_norm.weight"] + weights[f"{at}_layer_norm.bias"]
        out.append(
            torch.einsum("dc,bsc->bsd", weights[f"{at}_projection.weight"], normed) + weights[f"{at}_projection.bias"]
        )
    return torch.cat(out, dim=1)


@torch.no_grad()
def test_flux_equals_diffusers(flux_shapes: Callable, random_weights: Callable) -> None:
    bfl = random_weights(flux_shapes(FLUX))
    ours = UsoTransformer(FLUX).eval()
    load_strict(ours, from_bfl(bfl), "weights")
    generator = torch.Generator().manual_seed(3)
    tokens, txt = torch.randn(1, 30, 32, generator=generator), torch.randn(1, 7, 40, generator=generator)
    vec = torch.randn(1, 24, generator=generator)
    got = ours(
        tokens, image_ids(5, 6), txt, text_ids(7), torch.tensor([0.7]), vec, guidance=torch.tensor([3.5])
    )
    expected = oracle_velocity(diffusers_flux(bfl, FLUX), tokens, (5, 6), txt, vec, 0.7, 3.5, [], [])
    assert (got - expected).abs().max() <= 1e-4
    assert expected.std() > 0.1


@torch.no_grad()
def test_official_weights_equal_diffusers(golden: Path) -> None:
    entries = json.loads((golden / "config.json").read_text())
    config = FluxConfig(
        **{k: tuple(v) if isinstance(v, list) else v for k, v in entries.items() if k not in ("lora_rank", "siglip")}
    )
    bfl = {name: tensor.float() for name, tensor in read_safetensors(golden / "flux_tiny.safetensors").items()}
    ours = UsoTransformer(config).eval()
    load_strict(ours, from_bfl(bfl), "weights")
    cases = read_safetensors(golden / "cases.safetensors")
    tokens, txt, vec = two_by_two(cases["noise"]), cases["txt"], cases["vec"]
    got = ours(tokens, image_ids(8, 12), txt, text_ids(24), torch.tensor([0.4]), vec, guidance=torch.tensor([4.0]))
    expected = oracle_velocity(diffusers_flux(bfl, config), tokens, (8, 12), txt, vec, 0.4, 4.0, [], [])
    assert (got - expected).abs().max() <= 1e-4


@torch.no_grad()
@pytest.mark.parametrize("ch_mult", [(1, 2), (1, 1, 2)])
def test_autoencoder_equals_diffusers(random_weights: Callable, ch_mult: tuple[int, ...]) -> None:
    config = AutoencoderConfig(**{**vars(AE), "ch_mult": ch_mult})
    bfl = random_weights(autoencoder_shapes(config))
    ours = Autoencoder(config).eval()
    load_strict(ours, bfl, "weights")
    theirs = diffusers_autoencoder(bfl, config)
    pixels = torch.rand(1, 3, 24, 32, generator=torch.Generator().manual_seed(4)) * 2 - 1
    moments = torch.cat(ours.moments(pixels), dim=1)
    expected = theirs.encode(pixels).latent_dist.parameters
    assert (moments - expected).abs().max() <= 1e-4
    latent = torch.randn(1, 8, 6, 8, generator=torch.Generator().manual_seed(5))
    decoded = theirs.decode(latent / config.scale_factor + config.shift_factor).sample
    assert (ours.decode(latent) - decoded).abs().max() <= 1e-4


@torch.no_grad()
def make_folder(
    folder: Path, flux_shapes: Callable, lora_shapes: Callable, projector_shapes: Callable, random_weights: Callable
) -> None:
    """Write a folder of the reference layout with other sizes and counts, computed by diffusers and plain formulas."""
    generator = torch.Generator().manual_seed(6)

    def rand(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    base = random_weights(flux_shapes(FLUX), seed=7)
    lora = {name: 0.3 * tensor for name, tensor in random_weights(lora_shapes(FLUX, 3), seed=8).items()}
    projector = random_weights(projector_shapes(20, 5, 48, 256), seed=9)
    merged = {name: tensor.clone() for name, tensor in base.items()}
    targets = {"qkv_lora1": "img_attn.qkv", "proj_lora1": "img_attn.proj", "qkv_lora2": "txt_attn.qkv"}
    targets |= {"proj_lora2": "txt_attn.proj", "qkv_lora": "linear1", "proj_lora": "linear2"}
    for name in lora:
        if name.endswith(".up.weight"):
            block, part = name.removesuffix(".up.weight").split(".processor.")
            delta = lora[name] @ lora[name.replace(".up.", ".down.")]
            merged[f"{block}.{targets[part]}.weight"][: delta.shape[0]] += delta
    network = diffusers_flux(merged, FLUX)

    given = {"txt": rand(1, 6, 40), "vec": rand(1, 24), "noise": rand(1, 8, 10, 14)}
    grids = [(2, 3), (4, 1), (3, 3)]
    refs, (row, column) = [], (5, 7)
    for i, (rows, columns) in enumerate(grids):
        given[f"ref{i}"] = rand(1, 8, 2 * rows, 2 * columns)
        ids = torch.tensor([[0.0, row + r, column + c] for r in range(rows) for c in range(columns)])
        refs.append((two_by_two(given[f"ref{i}"]), ids))
        row, column = row + rows, column + columns
    n, d = torch.arange(20, dtype=torch.float64)[:, None], torch.arange(48, dtype=torch.float64)[None]
    styles = []
    for i in range(3):
        levels = [(1.5 * torch.sin(0.2 * (level + 1) + 0.03 * (i + 1) * n - 0.07 * d)).float()[None] for level in range(3)]
        styles.append(oracle_projector(projector, levels))
        given[f"style{i}_tokens"] = styles[i]

    counts = {"plain": (0, 0, 1.0), "three_styles": (0, 3, 0.8), "three_refs": (3, 0, 0.6), "all": (3, 3, 0.25)}
    tokens, ids = two_by_two(given["noise"]), image_ids(5, 7)
    for name, (n_refs, n_styles, t) in counts.items():
        v = oracle_velocity(
            network, tokens, (5, 7), given["txt"], given["vec"], t, 2.5, styles[:n_styles], refs[:n_refs]
        )
        given[f"{name}.velocity"], given[f"{name}.img_ids"] = v, ids[None]
        given |= {f"{name}.ref_ids{i}": refs[i][1][None] for i in range(n_refs)}
    times, x = [1.0, 0.6, 0.1, 0.0], tokens
    for now, then in zip(times[:-1], times[1:], strict=True):
        v = oracle_velocity(network, x, (5, 7), given["txt"], given["vec"], now, 2.5, styles[:2], refs[:2])
        x = x + (then - now) * v
    given["denoise3.latent"] = F.fold(x.transpose(1, 2), (10, 14), kernel_size=2, stride=2)

    ae = random_weights(autoencoder_shapes(AE), seed=10)
    their_ae = diffusers_autoencoder(ae, AE)
    pixels = torch.rand(1, 3, 16, 24, generator=generator) * 2 - 1
    latent = AE.scale_factor * (their_ae.encode(pixels).latent_dist.mean - AE.shift_factor)
    decoded = their_ae.decode(latent / AE.scale_factor + AE.shift_factor).sample

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
    configs = {"config": {**vars(FLUX), "remark": "ignored"}, "ae_config": vars(AE), "cases": cases}
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
    tmp_path: Path, flux_shapes: Callable, lora_shapes: Callable, projector_shapes: Callable, random_weights: Callable
) -> None:
    make_folder(tmp_path, flux_shapes, lora_shapes, projector_shapes, random_weights)
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
