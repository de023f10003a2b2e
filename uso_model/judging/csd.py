"""CSD, the style descriptor of the reward: a CLIP ViT-L/14 and one matrix, with a gradient down to the pixels.

Somepalli et al. 2024, "Measuring Style Similarity in Diffusion Models"; learn2phoenix/CSD, CSD/model.py: the style
descriptor is the normalised class token after `ln_post`, times `last_layer_style`.
"""

from __future__ import annotations

import argparse
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..checkpoints import CheckpointError, load_strict, read_safetensors, write_safetensors
from ..checkpoints.files import sha256_of
from ..checkpoints.sizes import shape_of
from ..checkpoints.strict import require_finite
from ..untrusted import quoted, regular_file
from .encoder_judge import EncoderJudge
from .judge import Card
from .open_clip_package import open_clip_package
from .preprocessing import CLIP_DEVIATION, CLIP_MEAN, Preprocessing

__all__ = [
    "CARD",
    "PREPROCESSING",
    "PUBLISHED_SHA256",
    "STYLE_KEY",
    "StyleDescriptor",
    "convert_csd",
    "is_csd",
    "load_csd",
    "quickgelu_tower",
]

PUBLISHED_SHA256 = "40e92fad63a361b8136100cd234c42d401ef9b34ff1748234318929ebcc7e7a1"
"""Of pytorch_model.bin in tomg-group-umd/CSD-ViT-L."""

ARCHITECTURE = "ViT-L-14-quickgelu"
"""The name matters: open_clip's plain ViT-L-14 has the same weights but another activation, and says nothing."""

PREPROCESSING = Preprocessing(224, 224, CLIP_MEAN, CLIP_DEVIATION)
"""Source: learn2phoenix/CSD, CSD/loss_utils.py; sizes and offsets are rounded as torchvision rounds them."""

CARD = Card(
    name="csd",
    sees=("style",),
    model="tomg-group-umd/CSD-ViT-L",
    revision="main, converted by `uso csd`",
    licence="CC-BY-4.0",
    preprocessing="short side 224 (Pillow, bicubic), middle 224 x 224, CLIP's mean and deviation",
    range=(-1.0, 1.0),
    address="https://huggingface.co/tomg-group-umd/CSD-ViT-L/blob/main/pytorch_model.bin",
    published_sha256=PUBLISHED_SHA256,
    file="pytorch_model.bin",
)

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
    open_clip = open_clip_package("csd")
    settings = open_clip.get_model_config(architecture)
    with torch.device("meta"):
        tower = open_clip.CLIP(**settings).visual
    tower.proj = None
    return tower


class StyleDescriptor(EncoderJudge):
    """Pictures to unit style descriptors."""

    def __init__(self, tower: nn.Module, width: int, out: int):
        super().__init__(CARD, PREPROCESSING)
        self.backbone = tower
        self.last_layer_style = nn.Parameter(torch.empty(width, out, device="meta"))

    def features(self, prepared: Tensor) -> Tensor:
        """Return style features `b D` of prepared pictures `b 3 224 224`."""
        return self.backbone(prepared) @ self.last_layer_style


def is_csd(shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether a file holds the descriptor as `convert_csd` writes it."""
    return STYLE_KEY in shapes and f"{_BACKBONE}conv1.weight" in shapes


def load_csd(path: str | Path, device: str | torch.device = "cpu") -> StyleDescriptor:
    """Read a descriptor made by `convert_csd`, frozen, in float32.

    Raises:
        UserError: the file is no such descriptor, or open_clip is not installed.
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
