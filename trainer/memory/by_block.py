"""A frozen network whose blocks keep their matrices as the file stores them, and are multiplied out one at a time.

A T5-XXL of 8 bits then needs the 4.8 GB of its file and not 9.5 GB. On the CPU its matrices are the mapped file itself:
no copy at all, and pages that the system may drop and read again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .frozen import multiplied_out

__all__ = ["multiply_out_by_block", "stays_as_stored"]

_EIGHT_BITS = (torch.float8_e4m3fn, torch.float8_e5m2)


def stays_as_stored(tensor: Tensor, dtype: torch.dtype, scaled: bool = False) -> bool:
    """Say whether a matrix waits in the type it is stored in: where it takes no more room than in `dtype`.

    A scaled one has to be exact in `dtype` before it is multiplied, which 8 bits are.
    """
    if tensor.ndim != 2 or tensor.element_size() > dtype.itemsize:
        return False
    return tensor.dtype in _EIGHT_BITS or not scaled


def multiply_out_by_block(
    blocks: Iterable[nn.Module], scales: Mapping[nn.Parameter, Tensor], dtype: torch.dtype
) -> None:
    """Let each block bring its matrices to `dtype` when it computes, and put the stored ones back afterwards.

    Args:
        blocks: whose forward is to be wrapped.
        scales: of scaled weights, one or one for each row.
        dtype: to compute in.
    """
    for block in blocks:
        waiting = [
            _Waiting(weight, weight.data, scales.get(weight))
            for weight in block.parameters()
            if weight.dtype != dtype and weight.ndim == 2
        ]
        if waiting:
            block.register_forward_pre_hook(partial(_bring, waiting, dtype))
            block.register_forward_hook(partial(_put_back, waiting), always_call=True)


class _Waiting(NamedTuple):
    weight: nn.Parameter
    stored: Tensor
    scale: Tensor | None


def _bring(waiting: list[_Waiting], dtype: torch.dtype, *_: Any) -> None:
    for weight, stored, scale in waiting:
        weight.data = stored.to(dtype) if scale is None else multiplied_out(stored, scale, dtype)


def _put_back(waiting: list[_Waiting], *_: Any) -> None:
    for weight, stored, _scale in waiting:
        weight.data = stored
