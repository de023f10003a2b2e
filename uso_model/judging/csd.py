"""CSD, the style descriptor of the reward: a CLIP ViT-L/14 and one matrix, with a gradient down to the pixels.

Somepalli et al. 2024, "Measuring Style Similarity in Diffusion Models"; learn2phoenix/CSD, CSD/model.py: the style
descriptor is the normalised class token after `ln_post`, times `last_layer_style`.
"""

from __future__ import annotations

import argparse
import pickle
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..checkpoints import CheckpointError, load_strict, read_safetensors, write_safetensors
from ..checkpoints.files import sha256_of
from ..checkpoints.sizes import shape_of
from ..checkpoints.strict import require_finite
from ..untrusted import quoted, regular_file

__all__ = ["PUBLISHED_SHA256", "StyleDescriptor", "convert_csd", "load_csd", "quickgelu_tower"]

PUBLISHED_SHA256 = "40e92fad63a361b8136100cd234c42d401ef9b34ff1748234318929ebcc7e7a1"
"""Of pytorch_model.bin in tomg-group-umd/CSD-ViT-L."""

ARCHITECTURE = "ViT-L-14-quickgelu"
"""The name matters: open_clip's plain ViT-L-14 has the same weights but another activation, and says nothing."""

SIZE = 224
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
_PUBLISHED = "pytorch_model.bin of tomg-group-umd/CSD-ViT-L"

# What PyTorch's reader of pickles raises on damaged or hostile ones.
_UNREADABLE = (
    RuntimeError,
    TypeError,
    ValueError,
    EOFError,
    OSError,
    LookupError,
    AttributeError,
    ArithmeticError,
    MemoryError,
    AssertionError,
)
_BACKBONE, STYLE_KEY, _CONTENT = "backbone.", "last_layer_style", "last_layer_content"


def quickgelu_tower(architecture: str = ARCHITECTURE) -> nn.Module:
    """Return an open_clip vision tower without weights (on the meta device) and without CLIP's projection."""
    import open_clip  # takes seconds, and only the reward needs it

    settings = open_clip.get_model_config(architecture)
    with torch.device("meta"):
        tower = open_clip.CLIP(**settings).visual
    tower.proj = None
    return tower


class StyleDescriptor(nn.Module):
    """Pictures to unit style descriptors."""

    def __init__(self, tower: nn.Module, width: int, out: int):
        super().__init__()
        self.backbone = tower
        self.last_layer_style = nn.Parameter(torch.empty(width, out, device="meta"))

    def forward(self, pixels: Tensor) -> Tensor:
        """Return unit descriptors `b D` of pictures `b 3 h w` in -1..1."""
        return F.normalize(self.backbone(preprocess(pixels)) @ self.last_layer_style, dim=-1)


def preprocess(pixels: Tensor) -> Tensor:
    """Resize the short side to 224 (bicubic, antialiased), crop the middle, normalise as CLIP does.

    Source: learn2phoenix/CSD, CSD/loss_utils.py; sizes and offsets are rounded as torchvision rounds them.

    Args:
        pixels: `b 3 h w` in -1..1.
    """
    height, width = pixels.shape[-2:]
    short, long = min(height, width), max(height, width)
    other = int(SIZE * long / short)
    size = (other, SIZE) if height > width else (SIZE, other)
    resized = F.interpolate(pixels, size, mode="bicubic", antialias=True, align_corners=False).clamp(-1, 1)
    top, left = (round((side - SIZE) / 2.0) for side in size)
    cropped = resized[..., top : top + SIZE, left : left + SIZE] / 2 + 0.5
    mean, std = (cropped.new_tensor(values)[:, None, None] for values in (MEAN, STD))
    return (cropped - mean) / std


def load_csd(path: str | Path, device: str | torch.device = "cpu") -> Callable[[Tensor], Tensor]:
    """Read a descriptor made by `convert_csd`, frozen, in float32.

    Raises:
        CheckpointError: the file is no such descriptor.
    """
    path = Path(path)
    tensors = read_safetensors(path)
    if STYLE_KEY not in tensors:
        raise CheckpointError(f"{path.name} is no CSD descriptor, it has no {STYLE_KEY}; make one with `uso csd`.")
    return _descriptor(tensors, path.name).to(device).eval().requires_grad_(False)


def _descriptor(tensors: Mapping[str, Tensor], source: str) -> StyleDescriptor:
    """Return the descriptor of these tensors, all of which it must need and no other, in float32."""
    descriptor = StyleDescriptor(quickgelu_tower(), *shape_of(tensors, STYLE_KEY, 2, source))
    require_finite(tensors, source)
    load_strict(descriptor, {name: tensor.float() for name, tensor in tensors.items()}, source, assign=True)
    return descriptor


def convert_csd(checkpoint: str | Path, out: str | Path, sha256: str = PUBLISHED_SHA256) -> None:
    """Take backbone and style matrix out of CSD's training checkpoint and write them as safetensors.

    The checkpoint is a pickle. Its hash is compared first, and it is read without running any code in it: besides
    tensors only plain containers, `argparse.Namespace` and NumPy's 64-bit numbers are let through.

    Raises:
        CheckpointError: another file than expected, by hash or by content.
    """
    checkpoint = Path(checkpoint)
    regular_file(checkpoint, f"download {_PUBLISHED}.", CheckpointError)
    found = sha256_of(checkpoint)
    if found != sha256:
        raise CheckpointError(
            f"{checkpoint.name} has the SHA-256 {found}, expected {sha256}; download it again, or pass the hash of the "
            "file you trust with --sha256."
        )
    weights = _read_pickle(checkpoint)
    stripped = {name.removeprefix("module."): tensor for name, tensor in weights.items()}
    kept = {name: tensor for name, tensor in stripped.items() if name.startswith(_BACKBONE) or name == STYLE_KEY}
    strangers = stripped.keys() - kept.keys() - {_CONTENT}
    if strangers or STYLE_KEY not in kept:
        raise CheckpointError(
            f"{checkpoint.name} holds {len(strangers)} unknown tensors ({', '.join(sorted(strangers)[:3])}) and "
            f"{'a' if STYLE_KEY in kept else 'no'} {STYLE_KEY}; use {_PUBLISHED}."
        )
    descriptor = _descriptor(kept, checkpoint.name)
    info = {"source": "tomg-group-umd/CSD-ViT-L", "source_sha256": found, "license": "CC-BY-4.0"}
    write_safetensors(out, descriptor.state_dict(), info)


def _read_pickle(path: Path) -> dict[str, Tensor]:
    scalar = np.float64(0).__reduce__()[0]  # its module's name changed between NumPy 1 and 2
    allowed: list[Any] = [
        argparse.Namespace,
        np.dtype,
        type(np.dtype(np.float64)),
        type(np.dtype(np.int64)),
        (scalar, "numpy.core.multiarray.scalar"),
        (scalar, "numpy._core.multiarray.scalar"),
    ]
    try:
        with torch.serialization.safe_globals(allowed):
            loaded = torch.load(path, weights_only=True, mmap=True, map_location="cpu")
    except pickle.UnpicklingError as error:
        # Only the type's name: PyTorch's own text advises to read the file without this protection.
        stranger = re.search(r"GLOBAL (\S+)", str(error))
        named = f" ({quoted(stranger[1])})" if stranger else ""
        raise CheckpointError(
            f"{path.name} holds more than weights{named} and was not read; use {_PUBLISHED}."
        ) from error
    except _UNREADABLE as error:
        raise CheckpointError(
            f"{path.name} cannot be read as a checkpoint of PyTorch ({type(error).__name__}); use {_PUBLISHED}."
        ) from error
    weights = loaded.get("model_state_dict") if isinstance(loaded, dict) else None
    if not isinstance(weights, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) and _is_plain(tensor) for name, tensor in weights.items()
    ):
        raise CheckpointError(f"{path.name} has no named tensors under model_state_dict; use {_PUBLISHED}.")
    return weights


def _is_plain(tensor: Tensor) -> bool:
    """Whether a tensor is an ordinary one: dense, on the CPU, and not quantised, which converts to nothing."""
    return tensor.layout == torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
