"""Where a run writes: whether it may, and whether there is room for all that it will leave."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ...uso_model.untrusted import named
from ..data.cache_plan import cache_bytes
from ..data.manifest import Row
from ..engine.checkpoint import ROOM
from ..family import family_of
from ..recipe import TrainConfig
from .files import Sizes

__all__ = ["amount", "cache_needs", "room", "writable"]

_BYTES = {"bf16": 2, "fp16": 2, "fp32": 4}


def writable(config: TrainConfig) -> Iterator[str]:
    """Yield the folders of a run that cannot be written to. A cache may be complete, and read only then."""
    run, out = config.loop.run_dir, config.folder
    for name, folder in {"loop.run_dir": run, "out": out}.items():
        if name == "out" and out.is_relative_to(run):
            continue  # the same answer
        reason = _refusal(folder)
        if reason is not None:
            yield f"{name}: {named(folder)} cannot be written to ({reason}); choose another folder or mend its rights"
    cache = config.data.cache
    if cache.exists() and not cache.is_dir():
        yield f"data.cache: {named(cache)} is a file and not a folder; choose another folder"
    elif not cache.exists() and (reason := _refusal(cache)) is not None:
        yield f"data.cache: {named(cache)} cannot be made ({reason}); choose another folder or mend its rights"


def _refusal(folder: Path) -> str | None:
    """Say why nothing can be written to a folder, which may still have to be made, None where it can."""
    try:
        place = _existing(folder)
        if not place.is_dir():
            return f"{named(place)} is a file"
        # Only writing tells, on Windows and on network drives; permissions do not.
        with tempfile.TemporaryFile(dir=place):
            return None
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)


def _existing(folder: Path) -> Path:
    """Return the nearest folder above that is there."""
    absolute = folder.absolute()
    return next(place for place in (absolute, *absolute.parents) if place.exists() or place.is_symlink())


def room(config: TrainConfig, rows: Sequence[Row], sizes: Sizes) -> Iterator[str]:
    """Yield the disks that have too little room for what a run will still write to them."""
    needs: dict[int, dict[str, tuple[Path, float]]] = defaultdict(dict)
    for what, (folder, size) in _needed(config, rows, sizes).items():
        needs[_existing(folder).stat().st_dev][what] = folder, size
    for parts in needs.values():
        total = sum(size for _, size in parts.values())
        place = _existing(next(iter(parts.values()))[0])
        free = shutil.disk_usage(place).free
        if total > free:
            listed = ", ".join(f"{what} in {named(folder)} {amount(size)}" for what, (folder, size) in parts.items())
            yield (
                f"the disk of {named(place)} has {amount(free)} free, but {amount(total)} will be needed: {listed}; "
                "make room, choose another disk, or keep fewer checkpoints with loop.keep and loop.save_every"
            )


def _needed(config: TrainConfig, rows: Sequence[Row], sizes: Sizes) -> Mapping[str, tuple[Path, float]]:
    """Return what will be written, where, and how many bytes of it are not there yet."""
    values = _trained(config, sizes)
    # In float32: the weights, the optimizer's two moments and the average.
    loop = config.loop.of_length(len(rows))
    averages = loop.ema is not None
    checkpoint = 4 * values * (3 + averages)
    saves = math.ceil(loop.steps / loop.save_every)
    for_good = loop.steps // loop.keep_every if loop.keep_every else 0
    kept = min(saves, loop.keep + 1 + for_good)  # one more while it takes the place of an older one
    bare = min(max(0, saves - kept), loop.keep_weights)
    exports = saves * values * _BYTES[family_of(config).export_dtype]
    if sizes.lora is not None and config.lora.start == "add":
        exports += sizes.lora.parameters * _BYTES[family_of(config).export_dtype]
    checkpoints = kept * checkpoint + bare * 4 * values * (1 + averages)
    run = max(checkpoints - _size(config.loop.run_dir, "checkpoint-*/*"), ROOM * checkpoint)
    needed = {
        "checkpoints": (config.loop.run_dir, run),
        "trained files": (config.folder, max(0, exports - _size(config.folder, "*.safetensors"))),
    }
    encodings = cache_needs(config, rows)
    if encodings:
        needed["encodings"] = config.data.cache, max(0, encodings - _size(config.data.cache, "*/*"))
    return needed


def _trained(config: TrainConfig, sizes: Sizes) -> int:
    """Return how many values a stage trains, 0 where the sizes are not known."""
    transformer, values = sizes.transformer, 0
    if transformer is not None and config.stage == "base":
        return sum(parameter.numel() for parameter in transformer.parameters())
    if sizes.projector is not None and (config.stage == "style" or config.train_projector):
        values += sum(parameter.numel() for parameter in sizes.projector.parameters())
    if config.stage == "triplet" and sizes.lora is not None and config.lora.start == "continue":
        values += sizes.lora.parameters
    elif transformer is not None:
        shapes = {name: parameter.shape for name, parameter in transformer.named_parameters()}
        values += config.lora.new_rank * sum(sum(shapes[f"{name}.weight"]) for name in sizes.layers)
    return values


def cache_needs(config: TrainConfig, rows: Sequence[Row]) -> float:
    """Return the bytes of all encodings of a recipe, 0 for a family whose encoders are too small to plan."""
    return 0 if family_of(config).memory_note(config) is not None else cache_bytes(config, rows)


def _size(folder: Path, pattern: str) -> int:
    found = 0
    for file in folder.glob(pattern):
        try:
            found += file.stat().st_size
        except OSError:  # another process may be tidying up
            continue
    return found


def amount(size: float) -> str:
    """Write a number of bytes with its unit."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
