"""Make trained stages the bundled weights."""

from __future__ import annotations

import shutil
from pathlib import Path

from ..trainer.export import LORA, PROJECTOR, TRANSFORMER
from .judges.networks import JUDGES
from .model import weight_files

__all__ = ["install"]

ENCODERS = ("autoencoder", "vision", "vision_config", "text", "text_config", "descriptor")


def install(work: Path, base: Path, adapters: Path) -> None:
    """Copy encoders, judges, base, LoRA and projector to where the pack keeps them.

    Args:
        work: holds the folders `weights` and `judges`.
        base: folder that stage `base` has written.
        adapters: folder that the last stage has written.

    Raises:
        FileNotFoundError: a stage has written nothing yet; nothing is copied then.
    """
    trained, bundled = weight_files(work / "weights"), weight_files()
    copies = {trained[part]: bundled[part] for part in ENCODERS}
    copies |= {
        work / "judges" / f"{name}.safetensors": JUDGES / f"{name}.safetensors" for name in ("style", "identity")
    }
    copies |= {
        base / TRANSFORMER: bundled["flux"],
        adapters / LORA: bundled["lora"],
        adapters / PROJECTOR: bundled["projector"],
    }
    absent = [str(source) for source in copies if not source.is_file()]
    if absent:
        raise FileNotFoundError(f"{', '.join(absent)} are not there; train their stages first with `uso mini train`")
    for source, place in copies.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, place)
