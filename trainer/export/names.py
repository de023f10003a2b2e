"""Names of exported files: `<run>-<step>.safetensors` for what a run trained, and two more beside it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, NamedTuple

from ...uso_model.errors import UserError

__all__ = [
    "OWN",
    "PROJECTOR",
    "WITH_START",
    "WITH_USO",
    "Exported",
    "Part",
    "exported",
    "file_name",
    "meant",
    "newest",
    "newest_lora",
]

Part = Literal["own", "projector", "with-uso", "with-start"]
"""What a file holds: the LoRA or network that was trained; the projector that belongs to it; that LoRA together with
USO's, beside which it was trained; or together with another one."""

OWN: Part = "own"
PROJECTOR: Part = "projector"
WITH_USO: Part = "with-uso"
WITH_START: Part = "with-start"

_ENDINGS: dict[str, Part] = {"": OWN, "-projector": PROJECTOR, "-with-uso": WITH_USO, "-with-start": WITH_START}
_NAME = re.compile(r"(.+)-([0-9]{7,18})(-projector|-with-uso|-with-start|)(?:-([2-9]))?\.safetensors")

_OLDER: dict[str, Part] = {"transformer.safetensors": OWN, "lora.safetensors": OWN, "projector.safetensors": PROJECTOR}
"""Names of the first versions, which kept only what was written last."""


class Exported(NamedTuple):
    """An exported file, by its name."""

    path: Path
    run: str
    """Name that the run's folder had."""
    step: int
    part: Part
    copy: int
    """Above 1 where the file of that name could not be replaced."""


def file_name(run: str, step: int, part: Part, copy: int = 1) -> str:
    """Return the name of a file of a run's step."""
    ending = next(ending for ending, named in _ENDINGS.items() if named == part)
    return f"{run}-{step:07d}{ending}{f'-{copy}' if copy > 1 else ''}.safetensors"


def exported(folder: Path) -> list[Exported]:
    """Return the files in a folder that have the names of exports, oldest step first."""
    found = []
    for path in folder.glob("*.safetensors"):
        if match := _NAME.fullmatch(path.name):
            run, step, ending, copy = match.groups()
            found.append(Exported(path, run, int(step), _ENDINGS[ending], int(copy or 1)))
    return sorted(found, key=lambda file: (file.step, file.copy))


def newest(folder: Path, part: Part) -> Path | None:
    """Return the file of the newest step in a folder, the `out` of a run or the run's own; None: there is none.

    Raises:
        UserError: it holds files of several runs, and none has the name of the run whose folder it is.
    """
    for place in (folder, folder / "out"):
        files = [file for file in exported(place) if file.part == part]
        own = [file for file in files if file.run in (folder.name, folder.parent.name)] or files
        runs = sorted({file.run for file in own})
        if len(runs) > 1:
            raise UserError(f"{place} holds files of several runs ({', '.join(runs[:3])}); name the file itself")
        if own:
            return own[-1].path
        older = [place / name for name, holds in _OLDER.items() if holds == part and (place / name).is_file()]
        if older:
            return older[0]
    return None


def newest_lora(folder: Path) -> Path | None:
    """Return the newest LoRA in a folder that is whole by itself: with the one beside which it was trained."""
    return newest(folder, WITH_USO) or newest(folder, WITH_START) or newest(folder, OWN)


def meant(path: Path, wanted: str) -> Path:
    """Return the file that a recipe means by a path: a folder stands for the newest export in it.

    Older recipes name what an earlier stage writes as it was called then; where no such file is there, they mean the
    newest one of its folder.

    Args:
        path: as the recipe has it.
        wanted: setting that it stands at, `transformer`, `lora` or `projector`; others are files as they are.
    """
    if wanted not in ("transformer", "lora", "projector"):
        return path
    if not path.is_dir() and (path.exists() or path.name not in _OLDER):
        return path
    folder = path if path.is_dir() else path.parent
    if wanted == "lora":
        return newest_lora(folder) or path
    return newest(folder, PROJECTOR if wanted == "projector" else OWN) or path
