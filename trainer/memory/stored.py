"""What model files hold, told from their headers: tensors of the right shape and type without their data."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from ...uso_model.checkpoints import CheckpointError
from ...uso_model.checkpoints.files import read_header

__all__ = ["bytes_of", "stored_tensors"]

logger = logging.getLogger(__name__)

_TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}
"""Types of weights, by the names in headers; what else a file holds is no weight."""


def stored_tensors(path: Path | None) -> Mapping[str, Tensor]:
    """Return the weights of a file, or of the files in a folder, on the meta device; none where they cannot be read.

    A plan is made before the files are there, too, so nothing is raised: who reads them says what is wrong.
    """
    if path is None or not path.exists():
        return {}
    files = sorted(file for file in path.glob("*.safetensors") if "." not in file.stem) if path.is_dir() else [path]
    tensors: dict[str, Tensor] = {}
    for file in files:
        state = file.stat()
        tensors |= _read(file, state.st_size, state.st_mtime_ns)
    return tensors


def bytes_of(tensors: Mapping[str, Tensor]) -> int:
    """Return the bytes of all of them together."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


@lru_cache(maxsize=16)
def _read(file: Path, size: int, changed: int) -> Mapping[str, Tensor]:
    """Read a header; `size` and `changed` tell an older version of the file from this one."""
    try:
        header = read_header(file)
    except CheckpointError as error:
        logger.debug("planned without %s: %s", file, error)
        return {}
    return {
        name: torch.empty(shape, dtype=_TYPES[header.dtypes[name]], device="meta")
        for name, shape in header.shapes.items()
        if header.dtypes[name] in _TYPES
    }
