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

from .isolation import Isolation
from .math import attend, attention, rotate

__all__ = ["DoubleStreamBlock", "LastLayer", "MLPEmbedder", "SingleStreamBlock"]


class Modulation(NamedTuple):
    """Shift, scale and gate of one sub-layer, each `B 1 D`."""

    shift: Tensor
    scale: Tensor
    gate: Tensor

    def apply(self, x: Tensor) -> Tensor:
        return (1 + self.scale) * x + self.shift

    def gated(self, x: Tensor) -> Tensor:
        return self.gate * x


class PartModulation(NamedTuple):
    """Modulations of a stream whose parts have different ones."""

    parts: tuple[Modulation, ...]
    lengths: tuple[int, ...]

    def apply(self, x: Tensor) -> Tensor:
        pieces = zip(self.parts, x.split(self.lengths, dim=1), strict=True)
        return torch.cat([mod.apply(piece) for mod, piece in pieces], dim=1)

    def gated(self, x: Tensor) -> Tensor:
        pieces = zip(self.parts, x.split(self.lengths, dim=1), strict=True)
        return torch.cat([mod.gated(piece) for mod, piece in pieces], dim=1)


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


def _by_part(modulation: Modulation, before: int, own: int, after: int) -> PartModulation:
    """Give `own` tokens their row's modulation, and the references before and after them that of the last row.

    Args:
        modulation: `B+1 1 D`, the last row that of the fixed vector; see `isolation`.
        before: reference tokens at the start of the stream.
        own: text and image tokens.
        after: reference tokens at the end.
    """
    usual, fixed = Modulation(*(part[:-1] for part in modulation)), Modulation(*(part[-1:] for part in modulation))
    parts = [(mod, length) for mod, length in ((fixed, before), (usual, own), (fixed, after)) if length]
    parts = parts or [(fixed, 0)]  # a stream without tokens, in a pass of the references alone
    return PartModulation(tuple(mod for mod, _ in parts), tuple(length for _, length in parts))


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

    def forward(
        self, img: Tensor, txt: Tensor, vec: Tensor, pe: Tensor, isolation: Isolation | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return image and text stream after the block.

        Args:
            img: image and content tokens, `B L D`.
            txt: style and text tokens, `B L D`.
            vec: `B D`; `B+1 D` with isolation, the last row the references' own.
            pe: rotary table of the joint sequence.
            isolation: lengths of a sequence whose references see only themselves; None: all tokens see all.
        """
        img_mods, txt_mods = self.img_mod(vec), self.txt_mod(vec)
        if isolation is not None:
            img_mods = [_by_part(mod, 0, isolation.image, sum(isolation.refs)) for mod in img_mods]
            txt_mods = [_by_part(mod, isolation.style, isolation.text, 0) for mod in txt_mods]
        (img_mod1, img_mod2), (txt_mod1, txt_mod2) = img_mods, txt_mods

        img_qkv = self.img_attn.heads(img_mod1.apply(self.img_norm1(img)))
        txt_qkv = self.txt_attn.heads(txt_mod1.apply(self.txt_norm1(txt)))
        q, k, v = (torch.cat(pair, dim=2) for pair in zip(txt_qkv, img_qkv, strict=True))
        joint = attention(q, k, v, pe) if isolation is None else isolation.attention(q, k, v, pe)
        txt_attn, img_attn = joint.split([txt.shape[1], img.shape[1]], dim=1)

        img = img + img_mod1.gated(self.img_attn.proj(img_attn))
        img = img + img_mod2.gated(self.img_mlp(img_mod2.apply(self.img_norm2(img))))
        txt = txt + txt_mod1.gated(self.txt_attn.proj(txt_attn))
        txt = txt + txt_mod2.gated(self.txt_mlp(txt_mod2.apply(self.txt_norm2(txt))))
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

    def forward(
        self,
        x: Tensor,
        vec: Tensor,
        pe: Tensor,
        isolation: Isolation | None = None,
        read: tuple[int, int] | None = None,
    ) -> Tensor:
        """Return the joint sequence `B L D` after the block; see `DoubleStreamBlock.forward`.

        Args:
            x: joint sequence, `B L D`.
            vec: as in a double block.
            pe: likewise.
            isolation: likewise.
            read: first of the image tokens, and the token after them, where nobody reads the others: only these are
                computed and returned, from the keys and values of all.
        """
        (mod,) = self.modulation(vec)
        whole = mod if isolation is None else _by_part(mod, isolation.style, isolation.own, sum(isolation.refs))
        x_mod = whole.apply(self.pre_norm(x))
        q, k, v = rearrange(self.linear1_qkv(x_mod), "B L (K H D) -> K B H L D", K=3, H=self.num_heads)
        q, k = self.norm(q, k, v)
        if read is None:
            joint = attention(q, k, v, pe) if isolation is None else isolation.attention(q, k, v, pe)
        else:
            some = slice(*read)
            if isolation is not None:
                isolation.show(k, v)
                whole = _by_part(mod, 0, read[1] - read[0], 0)
            joint = attend(rotate(q[:, :, some], pe[..., some, :]), rotate(k, pe), v)
            x, x_mod = x[:, some], x_mod[:, some]
        mlp = F.gelu(self.linear1_mlp(x_mod), approximate="tanh")
        return x + whole.gated(self.linear2(torch.cat([joint, mlp], dim=-1)))


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
