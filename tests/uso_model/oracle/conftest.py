"""The same weights in diffusers' networks, which share no line with ours or with the official code."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
import torch
from comfyui_uso.uso_model.config import AutoencoderConfig, FluxConfig
from diffusers import AutoencoderKL, FluxTransformer2DModel
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
    in_channels=3,
    ch=32,
    out_ch=3,
    ch_mult=(1, 2),
    num_res_blocks=2,
    z_channels=8,
    scale_factor=0.7,
    shift_factor=-0.2,
)

_EMBEDDERS = {
    "time_in": "timestep_embedder",
    "vector_in": "text_embedder",
    "guidance_in": "guidance_embedder",
}
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
    """Rename BFL weights to diffusers' names; its final modulation holds the scale first, BFL's the shift."""
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
    """Run diffusers on USO's joint sequence: style joins behind its text embedder, references behind img."""
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


@pytest.fixture(scope="session")
def oracle() -> SimpleNamespace:
    """The functions above, and sizes that differ from those of the official code's reference tensors."""
    return SimpleNamespace(
        flux_config=FLUX,
        autoencoder_config=AE,
        flux=diffusers_flux,
        autoencoder=diffusers_autoencoder,
        velocity=oracle_velocity,
        tokens=two_by_two,
        projector=oracle_projector,
    )
