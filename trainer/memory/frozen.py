"""A linear layer whose 8-bit weight never gets a gradient: a quarter of the memory of float32, half of bfloat16.

W = q * scale with q in float8_e4m3fn and one scale per output row. The weight is multiplied out for each product and
again in the backward pass; between them only q is held. Our own scales are powers of two: a float keeps its relative
error under them, and the weight multiplied out is exact in bfloat16, where another scale would round a second time.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["FrozenLinear", "multiplied_out", "product_dtype", "quantize_rows"]

FP8 = torch.float8_e4m3fn
_MAX = torch.finfo(FP8).max
_QUICK_HALF = ("AVX512", "AMX")


def quantize_rows(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return `out in` in float8_e4m3fn and the scale of each row `out 1`, in float32.

    The scale is the smallest power of two above max|row| / 448. Three bits of mantissa: each value is off by at most
    1/16 of itself, or by scale * 2^-10 below the smallest normal number.
    """
    wide = weight.float()
    largest = wide.abs().amax(dim=1, keepdim=True)
    _, exponent = torch.frexp(largest / _MAX)  # a mantissa below 1, so that the quotients stay below 448
    scale = torch.ldexp(torch.ones_like(largest), exponent).clamp_min(torch.finfo(torch.float32).tiny)
    return (wide / scale).to(FP8), scale


class FrozenLinear(nn.Linear):
    """`x @ (q * scale).T + bias` with a gradient for `x` alone. A kind of `nn.Linear`, so that peft adapts it."""

    weight_scale: Tensor

    def __init__(self, in_features: int, out_features: int, bias: bool, device: torch.device | str | None = None):
        nn.Module.__init__(self)
        self.in_features, self.out_features = in_features, out_features
        shape = (out_features, in_features)
        self.weight = nn.Parameter(torch.empty(shape, dtype=FP8, device=device), requires_grad=False)
        self.register_buffer("weight_scale", torch.empty(out_features, 1, device=device))
        self.bias = nn.Parameter(torch.empty(out_features, device=device), requires_grad=False) if bias else None  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        kind = x.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
        return _FrozenProduct.apply(x.to(dtype), self.weight, self.weight_scale, self.bias)


class _FrozenProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(weight, scale)
        matrix, dtype = multiplied_out(weight, scale, x.dtype), product_dtype(x.device, x.dtype)
        out = F.linear(x.to(dtype), matrix.to(dtype), None if bias is None else bias.to(dtype))
        return out.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        weight, scale = ctx.saved_tensors
        (grad,) = grads
        matrix, dtype = multiplied_out(weight, scale, grad.dtype), product_dtype(grad.device, grad.dtype)
        return (grad.to(dtype) @ matrix.to(dtype)).to(grad.dtype), None, None, None


def product_dtype(device: torch.device, dtype: torch.dtype) -> torch.dtype:
    """Return the type in which matrices are to be multiplied on a device: what a CPU has no instructions for takes 7 to
    50 times as long as float32 (measured with AVX2)."""
    half = dtype in (torch.bfloat16, torch.float16)
    slow = half and device.type == "cpu" and torch.backends.cpu.get_cpu_capability() not in _QUICK_HALF
    return torch.float32 if slow else dtype


def multiplied_out(weight: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a matrix `out in` of 8 bits times its scale, one or `out 1`, in `dtype`."""
    # float8 fits bfloat16 exactly. The scale stays in float32 and the product is rounded once, in place: a matrix of
    # FLUX.1 is up to 94 MB in bfloat16.
    return weight.to(dtype).mul_(scale)
