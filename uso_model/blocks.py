"""The two kinds of FLUX.1 block, with BFL's parameter names.

Shapes: B batch, L tokens, D hidden size, H heads.
Formulas: black-forest-labs/flux, src/flux/modules/layers.py; in a double block the text stream also carries
the style tokens and the image stream the content tokens (bytedance/USO, uso/flux/model.py).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .math import attention

__all__ = ["DoubleStreamBlock", "LastLayer", "MLPEmbedder", "SingleStreamBlock"]


class Modulation(NamedTuple):
    """Shift, scale and gate of one sub-layer, each `B 1 D`."""

    shift: Tensor
    scale: Tensor
    gate: Tensor

    def apply(self, x: Tensor) -> Tensor:
        return (1 + self.scale) * x + self.shift


class MLPEmbedder(nn.Module):
    """Two-layer embedding of time, guidance or the pooled text."""

    def __init__(self, in_dim: int, hidden_dim: int):
        super().__init__()
        self.in_layer = nn.Linear(in_dim, hidden_dim)
        self.out_layer = nn.Linear(hidden_dim, hidden_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.out_layer(F.silu(self.in_layer(x)))


class ModulationLayer(nn.Module):
    """Map `vec` (`B D`) to the modulations of one (single) or two (double) sub-layers."""

    def __init__(self, dim: int, sublayers: int):
        super().__init__()
        self.sublayers = sublayers
        self.lin = nn.Linear(dim, 3 * sublayers * dim)

    def forward(self, vec: Tensor) -> tuple[Modulation, ...]:
        parts = self.lin(F.silu(vec))[:, None, :].chunk(3 * self.sublayers, dim=-1)
        return tuple(Modulation(*parts[3 * i : 3 * i + 3]) for i in range(self.sublayers))


class RMSNorm(nn.Module):
    """Root-mean-square normalisation in float32 with a learned scale."""

    def __init__(self, dim: int):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        return (wide * torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + 1e-6)).to(x.dtype) * self.scale


class QKNorm(nn.Module):
    """Normalise queries and keys per head and bring them to the dtype of the values."""

    def __init__(self, dim: int):
        super().__init__()
        self.query_norm = RMSNorm(dim)
        self.key_norm = RMSNorm(dim)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        return self.query_norm(q).to(v), self.key_norm(k).to(v)


class SelfAttention(nn.Module):
    """The projections of one stream's attention; the attention itself is joint."""

    def __init__(self, dim: int, num_heads: int, qkv_bias: bool):
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.norm = QKNorm(dim // num_heads)
        self.proj = nn.Linear(dim, dim)

    def heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return normalised q, k and v of `x` (`B L D`), each `B H L D/H`."""
        q, k, v = rearrange(self.qkv(x), "B L (K H D) -> K B H L D", K=3, H=self.num_heads)
        q, k = self.norm(q, k, v)
        return q, k, v


def _plain_norm(dim: int) -> nn.LayerNorm:
    return nn.LayerNorm(dim, elementwise_affine=False, eps=1e-6)


class DoubleStreamBlock(nn.Module):
    """Joint attention of an image and a text stream that keep their own weights."""

    def __init__(self, dim: int, num_heads: int, mlp_size: int, qkv_bias: bool):
        super().__init__()
        self.img_mod = ModulationLayer(dim, 2)
        self.img_norm1 = _plain_norm(dim)
        self.img_attn = SelfAttention(dim, num_heads, qkv_bias)
        self.img_norm2 = _plain_norm(dim)
        self.img_mlp = nn.Sequential(nn.Linear(dim, mlp_size), nn.GELU(approximate="tanh"), nn.Linear(mlp_size, dim))
        self.txt_mod = ModulationLayer(dim, 2)
        self.txt_norm1 = _plain_norm(dim)
        self.txt_attn = SelfAttention(dim, num_heads, qkv_bias)
        self.txt_norm2 = _plain_norm(dim)
        self.txt_mlp = nn.Sequential(nn.Linear(dim, mlp_size), nn.GELU(approximate="tanh"), nn.Linear(mlp_size, dim))

    def forward(self, img: Tensor, txt: Tensor, vec: Tensor, pe: Tensor) -> tuple[Tensor, Tensor]:
        img_mod1, img_mod2 = self.img_mod(vec)
        txt_mod1, txt_mod2 = self.txt_mod(vec)

        img_qkv = self.img_attn.heads(img_mod1.apply(self.img_norm1(img)))
        txt_qkv = self.txt_attn.heads(txt_mod1.apply(self.txt_norm1(txt)))
        q, k, v = (torch.cat(pair, dim=2) for pair in zip(txt_qkv, img_qkv, strict=True))
        txt_attn, img_attn = attention(q, k, v, pe).split([txt.shape[1], img.shape[1]], dim=1)

        img = img + img_mod1.gate * self.img_attn.proj(img_attn)
        img = img + img_mod2.gate * self.img_mlp(img_mod2.apply(self.img_norm2(img)))
        txt = txt + txt_mod1.gate * self.txt_attn.proj(txt_attn)
        txt = txt + txt_mod2.gate * self.txt_mlp(txt_mod2.apply(self.txt_norm2(txt)))
        return img, txt


class SingleStreamBlock(nn.Module):
    """Attention and feed-forward in parallel over the joint sequence.

    BFL's `linear1` is kept as two layers, because USO's LoRA adapts only its q, k, v rows and an adapter
    library targets whole layers. The checkpoint code splits and fuses it exactly.
    """

    def __init__(self, dim: int, num_heads: int, mlp_size: int):
        super().__init__()
        self.num_heads = num_heads
        self.linear1_qkv = nn.Linear(dim, 3 * dim)
        self.linear1_mlp = nn.Linear(dim, mlp_size)
        self.linear2 = nn.Linear(dim + mlp_size, dim)
        self.norm = QKNorm(dim // num_heads)
        self.pre_norm = _plain_norm(dim)
        self.modulation = ModulationLayer(dim, 1)

    def forward(self, x: Tensor, vec: Tensor, pe: Tensor) -> Tensor:
        (mod,) = self.modulation(vec)
        x_mod = mod.apply(self.pre_norm(x))
        q, k, v = rearrange(self.linear1_qkv(x_mod), "B L (K H D) -> K B H L D", K=3, H=self.num_heads)
        q, k = self.norm(q, k, v)
        mlp = F.gelu(self.linear1_mlp(x_mod), approximate="tanh")
        return x + mod.gate * self.linear2(torch.cat([attention(q, k, v, pe), mlp], dim=-1))


class LastLayer(nn.Module):
    """Modulated projection of image tokens to velocity tokens."""

    def __init__(self, dim: int, out_channels: int):
        super().__init__()
        self.norm_final = _plain_norm(dim)
        self.linear = nn.Linear(dim, out_channels)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(dim, 2 * dim))

    def forward(self, x: Tensor, vec: Tensor) -> Tensor:
        shift, scale = self.adaLN_modulation(vec)[:, None, :].chunk(2, dim=-1)
        return self.linear((1 + scale) * self.norm_final(x) + shift)
