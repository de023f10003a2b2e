"""Writing the single files of an export: what they say about themselves, and comparing what is read back."""

from __future__ import annotations

import datetime
import logging
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from ...uso_model.checkpoints import (
    CheckpointError,
    Lora,
    read_lora,
    read_metadata,
    read_safetensors,
    write_diffusion_model_lora,
    write_safetensors,
    write_uso_lora,
)
from ...uso_model.checkpoints.lora import uso_modules
from ...uso_model.checkpoints.marks import ISOLATED, MARKER
from ...uso_model.config import FLUX_DEV
from ..encoders.fingerprint import fingerprint
from ..family import family_of
from ..lora.layers import layer_names
from ..recipe import TrainConfig
from ..run_folder import run_id, shareable
from ..starting_files import lora_file, transformer_file
from .names import Part, file_name

__all__ = ["ASKED", "CHECKPOINT", "Writer", "is_of_run", "metadata_of"]

logger = logging.getLogger(__name__)

RUN, CHECKPOINT, ASKED = "uso.run", "uso.checkpoint_sha256", "uso.asked"
"""Metadata: name of the run that wrote a file, hash of the weights it was made of, and whether it was asked for."""

COPIES = 9
"""Names that are tried for a file that cannot be replaced."""


class Writer:
    """Writes the files of one step, and keeps what is to be said of them."""

    def __init__(
        self,
        folder: Path,
        run: str,
        step: int,
        info: Mapping[str, str],
        dtype: torch.dtype,
        channels: int = FLUX_DEV.in_channels,
    ):
        """Write into `folder`, which is there, in a dtype, with what all files say about themselves.

        `channels` are those of the network's output tokens.
        """
        self._folder, self._run, self._step = folder, run, step
        self._info, self._dtype, self._channels = dict(info), dtype, channels
        self.told: list[str] = []
        self.files: list[dict[str, str]] = []
        """Path and part of each."""

    def plain(self, part: Part, tensors: Mapping[str, Tensor]) -> None:
        """Write tensors under their names."""
        ready = {name: tensor.to(self._dtype) for name, tensor in tensors.items()}
        path = self._placed(part, lambda path: write_safetensors(path, ready, self._info))
        _require_equal(path, ready, read_safetensors(path))
        self.told.append(f"{path}: {len(ready)} tensors, values read back equal")

    def lora(self, part: Part, lora: Lora, marks: Mapping[str, str]) -> None:
        """Write a LoRA, and count the keys that ComfyUI knows."""
        known = uso_modules(FLUX_DEV.depth, FLUX_DEV.depth_single_blocks)
        ranks = ", ".join(sorted({str(part.rank) for part in lora.modules.values()}))
        info = {**self._info, **marks, "ss_network_module": "networks.lora", "ss_network_dim": ranks}
        info |= {"ss_network_alpha": ranks}
        write: Callable[..., None] = write_uso_lora
        if lora.modules.keys() != known.keys():
            write = partial(write_diffusion_model_lora, channels=self._channels)
        path = self._placed(part, lambda path: write(path, lora, info, self._dtype))
        again = read_lora(path)
        expected: dict[str, Tensor] = {}
        found: dict[str, Tensor] = {}
        for name, factors in lora.modules.items():
            expected |= {f"{name} down": factors.down.to(self._dtype)}
            expected |= {f"{name} up": (factors.up * factors.scale).to(self._dtype)}
            copy = again.modules.get(name)
            found |= {} if copy is None else {f"{name} down": copy.down, f"{name} up": copy.up}
        _require_equal(path, expected, found)
        if again.isolated != lora.isolated:
            raise CheckpointError(f"{path} does not say how its references see; export again with `uso export`.")
        tensors = read_safetensors(path)
        mapped = [key for key in tensors if _comfy_knows(key)]
        self.told.append(
            f"{path}: rank {ranks}, {len(mapped)}/{len(tensors)} keys map in ComfyUI, values read back equal"
        )

    def _placed(self, part: Part, write: Callable[[Path], object]) -> Path:
        """Write a file under its name or, where another program does not let go of that, under the next one."""
        for copy in range(1, COPIES + 1):
            path = self._folder / file_name(self._run, self._step, part, copy)
            try:
                write(path)
            except PermissionError as error:
                if copy == COPIES or not path.exists():
                    raise
                logger.warning("%s; it is written under another name", str(error).rstrip("."))
            else:
                break
        self.files.append({"path": str(path.absolute()), "part": part})
        return path


def is_of_run(path: Path, run_dir: Path) -> bool:
    """Whether a run wrote a file."""
    try:
        metadata = read_metadata(path)
    except CheckpointError:
        return False
    if RUN in metadata:
        return run_dir.is_dir() and metadata[RUN] == run_id(run_dir)
    # The first versions told only the folder's name.
    return "uso.stage" in metadata and metadata.get("modelspec.title") == run_dir.name


def metadata_of(config: TrainConfig, step: int, data: Mapping[str, str]) -> dict[str, str]:
    """Return what a file says about itself: modelspec 1.0.1 (Stability-AI/ModelSpec) and where it comes from."""
    family = family_of(config)
    metadata = {
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": f"{family.name}/lora",
        "modelspec.implementation": "https://github.com/black-forest-labs/flux",
        "modelspec.title": config.loop.run_dir.name,
        "modelspec.date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "modelspec.license": family.licence,
        "uso.stage": config.stage,
        "uso.step": str(step),
        RUN: run_id(config.loop.run_dir),
        "uso.config": shareable(config),
        **data,
        **(ISOLATED if config.conditions.isolated and config.stage != "base" else {}),
    }
    for name, path in {"base": transformer_file(config), "lora": lora_file(config)}.items():
        if path is not None and path.exists():
            metadata[f"uso.{name}_fingerprint"] = fingerprint(path)
    return metadata


def _comfy_knows(key: str) -> bool:
    """Say whether stock ComfyUI applies a key: USO's names by its conversion (comfy/lora_convert.py), others by the
    names of FLUX's weights and `linear1_qkv` (comfy/lora.py)."""
    if key.removeprefix("diffusion_model.") == MARKER:
        return True
    layer, _, side = key.removeprefix("diffusion_model.").partition(".lora_")
    if side:
        bare = re.sub(r"_blocks\.[0-9]+\.", "_blocks.0.", layer)
        return side in ("A.weight", "B.weight") and (bare.endswith(".linear1") or bare in layer_names(1, 1))
    known = uso_modules(FLUX_DEV.depth, FLUX_DEV.depth_single_blocks).values()
    return key.removesuffix(".down.weight").removesuffix(".up.weight") in known


def _require_equal(path: Path, written: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    wrong = [
        name for name, tensor in written.items() if name not in found or not torch.equal(found[name], tensor.cpu())
    ]
    if wrong or len(found) != len(written):
        raise CheckpointError(
            f"{path} does not hold what was written ({len(wrong)} of {len(written)} tensors differ); check the disk "
            "and export again with `uso export`."
        )
