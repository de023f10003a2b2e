"""Make trained stages the bundled weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from ..trainer.export.names import meant
from ..trainer.reading.recipe_files import make_recipe
from ..uso_model.checkpoints import read_metadata
from ..uso_model.errors import UserError
from .judges.networks import FILES, JUDGES
from .model import weight_files

__all__ = ["install"]

ENCODERS = ("autoencoder", "vision", "vision_config", "text", "text_config", "descriptor")


def install(work: Path, base: Path, adapters: Path, judges: Path | None = None) -> None:
    """Copy encoders, judges, base, LoRA and projector to where the pack keeps them.

    Args:
        work: holds the folder of the encoders, `weights` or `weights-HASH`: the one that the base was trained with.
        base: folder that stage `base` has written.
        adapters: folder that the last stage has written.
        judges: folder that stage `judges` has written; None: `judges`, or the only `judges-HASH`, in `work`.

    Raises:
        FileNotFoundError: a stage has written nothing yet; nothing is copied then.
        UserError: base and adapters were trained with different encoders, or there are several judges.
    """
    flux = meant(base, "transformer")
    sources = {flux: "flux", meant(adapters, "lora"): "lora", meant(adapters, "projector"): "projector"}
    _require(*sources)
    names = {path: _encoders_of(path) for path in sources}
    if len(set(names.values())) > 1:
        listed = ", ".join(f"{path} with {name}" for path, name in names.items())
        raise UserError(f"got files trained with different encoders ({listed}); name a base and adapters of one plan")
    trained, bundled = weight_files(work / names[flux]), weight_files()
    copies = {trained[part]: bundled[part] for part in ENCODERS}
    judges = judges or _only_judges(work)
    copies |= {judges / name: JUDGES / name for name in FILES.values()}
    copies |= {path: bundled[part] for path, part in sources.items()}
    _require(*copies)
    for source, place in copies.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, place)


def _require(*files: Path) -> None:
    if absent := [str(file) for file in files if not file.is_file()]:
        raise FileNotFoundError(f"{', '.join(absent)} are not there; train their stages first with `uso mini train`")


def _encoders_of(file: Path) -> str:
    """Return the name of the folder of the encoders that an exported file was trained with."""
    config = make_recipe(json.loads(read_metadata(file).get("uso.config", "{}")), source=str(file))
    weights = getattr(config.models, "weights", None)
    if weights is None:
        raise UserError(f"{file} was trained with other encoders than those of a work folder; name another folder")
    return weights.name


def _only_judges(work: Path) -> Path:
    """Return the folder of the judges in a work folder."""
    found = sorted(path for path in work.glob("judges*") if path.name == "judges" or path.name.startswith("judges-"))
    if len(found) > 1:
        raise UserError(f"{work} holds several judges ({', '.join(path.name for path in found)}); choose with --judges")
    return found[0] if found else work / "judges"
