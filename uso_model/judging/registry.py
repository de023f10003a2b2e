"""The judges by name, and their files: named, or found in folders by keys and shapes. Nothing is downloaded."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from ..checkpoints import CheckpointError, read_shapes
from ..checkpoints.kinds import looks_like
from ..errors import UserError
from ..import_path import is_import_path, object_at
from ..untrusted import named, quoted, regular_file
from ..writing import sha256_of
from . import clip, csd, dino, style_encoder
from .encoder_judge import EncoderJudge
from .judge import Card, Judge
from .open_clip_package import open_clip_package

__all__ = ["JUDGES", "Kind", "find_judge", "judge_file", "load_judge"]

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Kind:
    """A judge that can be read from a file."""

    card: Card
    load: Callable[[Path, Any], EncoderJudge]
    """Reads a file to a device."""
    fits: Callable[[Shapes], bool]
    """Whether a file with these keys and shapes is one."""
    expected: str
    """The network in words."""
    open_clip: bool = False
    """Whether its network is one of the package open_clip."""
    prepared: str = ""
    """What to do with the published file before it can be read, in the imperative."""
    word: str = ""
    """What the name of the file or its folder must contain where keys and shapes are those of other models, too."""

    def is_at(self, path: Path) -> bool:
        """Whether a file is this judge's by name, keys and shapes.

        Raises:
            UserError: it cannot be read.
        """
        titled = self.word in f"{path.parent.name}/{path.name}".lower()
        return titled and self.fits(read_shapes(path))


JUDGES: dict[str, Kind] = {
    "clip": Kind(clip.CARD, clip.load_clip, clip.is_clip, "CLIP ViT-B/32 with both towers", open_clip=True),
    "dino": Kind(
        dino.CARDS["dino"], partial(dino.load_dino, "dino"), partial(dino.is_dino, "dino"), "DINO version 1, ViT-S/16"
    ),
    "dinov2": Kind(
        dino.CARDS["dinov2"], partial(dino.load_dino, "dinov2"), partial(dino.is_dino, "dinov2"), "a ViT of DINOv2"
    ),
    "dinov3": Kind(
        dino.CARDS["dinov3"], partial(dino.load_dino, "dinov3"), partial(dino.is_dino, "dinov3"), "a ViT of DINOv3"
    ),
    "csd": Kind(
        csd.CARD,
        csd.load_csd,
        csd.is_csd,
        "a CSD descriptor made by `uso csd`",
        open_clip=True,
        prepared="convert it with `uso csd`",
    ),
    "style_encoder": Kind(
        style_encoder.CARD,
        style_encoder.load_style_encoder,
        style_encoder.is_vision_tower,
        "CLIP's vision tower with projection and without text tower",
        word="style",
    ),
}


def load_judge(
    name: str,
    path: str | Path | None = None,
    folders: Sequence[str | Path] = (),
    device: str | torch.device = "cpu",
) -> Judge:
    """Return a judge, frozen, with the hash of its file on its card.

    Args:
        name: one of `JUDGES`, or an import path `package.module:object` of something callable that returns a judge; it
            gets `path` and `device` where it has arguments of these names.
        path: its file, or a folder that holds it; None: look in `folders`.
        folders: where to look for it, with all that lies below.
        device: where it runs.

    Raises:
        UserError: no such judge, or its file is missing, another model, damaged or not finite, or a package is missing.
    """
    if is_import_path(name):
        return _made(name, path, device)
    file = find_judge(name, folders) if path is None else judge_file(name, Path(path))
    judge = JUDGES[name].load(file, device)
    judge.card = replace(judge.card, sha256=sha256_of(file))
    return judge


def judge_file(name: str, path: Path) -> Path:
    """Return the file of a judge at a path, or in the folder at it, without reading its values.

    Raises:
        UserError: no such judge, its file is missing or another model, or a package is missing.
    """
    kind = _kind(name)
    file = _file(kind, path)
    shapes = read_shapes(file)
    if not kind.fits(shapes):
        raise CheckpointError(
            f"{named(file)} looks like {looks_like(shapes)}, expected {kind.expected} for the judge {name}; get "
            f"it from {kind.card.address}"
        )
    if kind.open_clip and find_spec("open_clip") is None:  # importing it, where it is there, takes seconds
        open_clip_package(name)
    return file


def find_judge(name: str, folders: Sequence[str | Path]) -> Path:
    """Return the file of a judge among the safetensors files of folders.

    Raises:
        UserError: no such judge, no file of it, or several.
    """
    kind = _kind(name)
    found: dict[Path, Path] = {}
    unreadable = []
    for file in _candidates(folders):
        try:
            if kind.is_at(file):
                found.setdefault(file.resolve(), file)
        except (UserError, OSError):
            unreadable.append(file.name)
    if len(found) > 1:
        listed = ", ".join(named(file) for file in found.values())
        raise UserError(f"several files fit the judge {name}: {listed}; name the one that is meant")
    if not found:
        where = ", ".join(named(folder) for folder in folders) or "no folder, because none was named"
        unread = f" ({len(unreadable)} could not be read, such as {quoted(unreadable[0])})" if unreadable else ""
        titled = f" under a name with {kind.word!r} in it" if kind.word else ""
        raise UserError(
            f"the file of the judge {name} is not there, looked for in {where}{unread}; "
            f"{_download(kind)}, put it into such a folder{titled}, or name its path"
        )
    return next(iter(found.values()))


def _kind(name: str) -> Kind:
    if name not in JUDGES:
        raise UserError(
            f"got the judge {quoted(name)}, expected {', '.join(JUDGES)} or an import path package.module:object"
        )
    return JUDGES[name]


def _file(kind: Kind, path: Path) -> Path:
    """Return the file of a path that the user named: itself, or the one of a folder."""
    if path.is_dir():
        kept = [file for file in sorted(path.glob("*.safetensors")) if kind.fits(read_shapes(file))]
        if len(kept) == 1:
            return kept[0]
    regular_file(path, f"{_download(kind)}, or correct the path of the judge {kind.card.name}", CheckpointError)
    return path


def _download(kind: Kind) -> str:
    prepared = f", {kind.prepared}" if kind.prepared else ""
    return f"download {kind.card.file} of {kind.card.model} from {kind.card.address}{prepared}"


def _candidates(folders: Sequence[str | Path]) -> Iterator[Path]:
    for folder in folders:
        yield from sorted(Path(folder).rglob("*.safetensors"))


def _made(path: str, file: str | Path | None, device: str | torch.device) -> Judge:
    """Return what the callable of an import path makes, with the hash of its file where it has none itself."""
    make = object_at(path, "judge", "correct the judge's name")
    if not callable(make):
        raise UserError(f"{path} is not callable, expected a function that returns a judge; correct the judge's name")
    given = {"path": file, "device": device}
    takes = inspect.signature(make)
    wanted = {key: value for key, value in given.items() if key in takes.parameters}
    try:
        takes.bind(**wanted)
    except TypeError as error:
        raise UserError(
            f"{path} needs more than path and device ({error}), expected a function that returns a judge; correct the "
            "judge's name"
        ) from error
    judge = make(**wanted)
    if not (isinstance(judge, Judge) and isinstance(judge.card, Card)):
        raise UserError(f"{path} returned {type(judge).__name__} and no judge; correct the judge's name")
    if "path" in wanted and file is not None and judge.card.sha256 is None:
        judge.card = replace(judge.card, sha256=_hash_at(Path(file)))
    return judge


def _hash_at(path: Path) -> str | None:
    """Return the hash of a file, or of all files of a folder; None where nothing is."""
    if not path.is_dir():
        return sha256_of(path) if path.is_file() else None
    files = sorted(file for file in path.rglob("*") if file.is_file())
    told = "".join(f"{file.relative_to(path).as_posix()} {sha256_of(file)}\n" for file in files)
    return hashlib.sha256(told.encode("utf-8", "surrogateescape")).hexdigest()
