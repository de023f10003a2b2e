"""Pictures become a set for training: a manifest of targets, each with other ones as its references."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ...uso_model.errors import UserError
from ...uso_model.untrusted import named, quoted
from ...uso_model.writing import atomic_write, sha256_of
from .folders import training_folder
from .set_names import set_name_of, set_named, short_hash

if TYPE_CHECKING:
    from PIL import Image

    from ...trainer.data.findings import Picture
    from ...trainer.data.importers.found import Found, Item
    from ...trainer.data.manifest import Row

__all__ = ["Captions", "Kind", "Made", "TrainingSet", "Wanted", "of_folder", "of_images", "of_triplets"]

Kind = Literal["style", "subject"]
"""What the pictures share, and so what they are references for."""
Captions = Literal["files", "text", "none"]

_USUAL_SIZE, _STEP = 768, 16
_LISTED = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingSet:
    """A manifest to train on."""

    name: str
    folder: Path
    manifest: Path
    kind: Kind
    rows: int
    trigger: str
    first: Path
    """A picture of the set, to draw samples with."""
    digest: str
    """SHA-256 of the manifest's bytes."""

    def stands(self) -> bool:
        """Whether the manifest is still the one that was made: another set of this name would have replaced it."""
        try:
            return sha256_of(self.manifest) == self.digest
        except OSError:  # it is gone
            return False

    def require_unchanged(self) -> None:
        """Check that the set stands.

        Raises:
            UserError: its manifest is another one, or gone.
        """
        if not os.path.isfile(self.manifest):
            raise UserError(
                f"Got the training set {quoted(self.name)!r}, which is gone from {named(self.folder)}, expected it as "
                "it was made: queue again, which makes it again."
            )
        if not self.stands():
            raise UserError(
                f"Got the training set {quoted(self.name)!r} with other pictures or captions than it was made with, "
                "expected those: give each USO Training Set a name of its own, which no other one has had."
            )


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a user says of the pictures."""

    kind: Kind = "style"
    captions: Captions = "files"
    texts: Sequence[str] = ()
    """Captions of all pictures, or of each."""
    trigger: str = ""
    name: str = ""
    """Of the set; empty: made of what is in it."""
    sub_folders: bool = False

    def text(self, number: int = 0) -> str:
        """Return the caption that was typed for a picture."""
        return self.texts[number if len(self.texts) > 1 else 0].strip() if self.texts else ""


@dataclass
class Made:
    """What became of pictures."""

    set: TrainingSet
    pictures: list[Path]
    """Targets, in order."""
    captions: list[str]
    """Of each."""
    told: list[str] = field(default_factory=list)
    """What is to be said of them, one sentence each."""
    wrong: list[str] = field(default_factory=list)
    """What is wrong with them, one sentence each."""


def of_folder(folder: Path, wanted: Wanted, origin: str = "") -> Made:
    """Make a set of the pictures in a folder, which stay where they are.

    Args:
        folder: of the pictures.
        wanted: what is said of them.
        origin: name of the folder for the set; empty: its own.

    Raises:
        UserError: there are fewer than two that can be read.
    """
    from ...trainer.data.importers.found import Item  # not above: ComfyUI loads the pack without the trainer
    from ...trainer.data.importers.listing import NoPicture, counted

    found = _found(wanted)
    try:
        listed = found.listing(folder, wanted.sub_folders)
    except NoPicture as error:
        besides = f"only {counted(error.skipped)}" if error.skipped else "nothing"
        below = ", or switch sub_folders on" if error.skipped["sub-folders"] and not wanted.sub_folders else ""
        raise UserError(
            f"Got the folder {named(folder)} with {besides} in it, expected two or more pictures: put them there"
            f"{below}."
        ) from error
    for path in listed.pictures:
        prompt = found.caption(listed, path) if wanted.captions == "files" else ""
        found.items.append(Item(path, prompt, group=str(folder)))
    return _made(found, folder, origin or folder.name, wanted)


def of_images(images: Sequence[Image.Image], wanted: Wanted) -> Made:
    """Make a set of pictures in RGB, which are written beside its manifest.

    Raises:
        UserError: there is only one, or there are captions for some of them.
        OSError: they cannot be written.
    """
    from ...trainer.data.importers.found import Item  # see above

    if len(wanted.texts) not in (0, 1, len(images)):
        raise UserError(
            f"Got {len(wanted.texts)} captions for {len(images)} pictures, expected one for all or one for each: make "
            "the lists equally long."
        )
    digests = [hashlib.sha256(f"{one.size}".encode() + one.tobytes()).hexdigest()[:16] for one in images]
    folder = _folder(wanted.name or f"images-{short_hash(digests)}")
    pictures = folder / "pictures"
    found = _found(wanted)
    for number, (image, digest) in enumerate(zip(images, digests, strict=True)):
        path = pictures / f"{number + 1:04d}-{digest}.png"
        if not path.is_file():
            pictures.mkdir(parents=True, exist_ok=True)
            atomic_write(path, partial(image.save, format="PNG"))
        prompt = "" if wanted.captions == "none" else wanted.text(number)
        found.items.append(Item(path, prompt, group=str(pictures)))
    return _made(found, pictures, "images", wanted)


def of_triplets(manifest: Path, wanted: Wanted) -> Made:
    """Make a set of the triplets in a manifest, whose pictures stay where they are.

    Raises:
        UserError: the manifest cannot be read, or no triplet has a reference of the wanted kind.
    """
    from ...trainer.data.importers.manifest import import_manifest  # see above

    found = _found(wanted)
    import_manifest(manifest, found)
    if not any(item.style if wanted.kind == "style" else item.references for item in found.items):
        role, other = ("style", "subject") if wanted.kind == "style" else ("content", "style")
        raise UserError(
            f"Got {len(found.items)} triplets in {named(manifest.parent)} without a {role} picture, expected some for "
            f"kind {wanted.kind}: choose kind {other}, or save triplets with one."
        )
    if wanted.captions != "files":
        found.items = [item._replace(prompt="") for item in found.items]
    return _made(found, manifest.parent, manifest.parent.name, wanted)


def _found(wanted: Wanted) -> Found:
    from ...trainer.data.importers.found import Found, Options

    return Found(
        Options(
            reference="style" if wanted.kind == "style" else "content",
            caption=None if wanted.captions == "none" or len(wanted.texts) > 1 else wanted.text() or None,
            trigger=wanted.trigger or None,
        )
    )


def _made(found: Found, source: Path, origin: str, wanted: Wanted) -> Made:
    """Write the manifest of what was found, without what cannot be used, and look through it as `uso check` does."""
    from ...trainer.data.check import check, open_pictures
    from ...trainer.data.importers.listing import counted
    from ...trainer.data.importers.rows import Rows
    from ...trainer.data.manifest import write_manifest
    from ...trainer.data.names import MANIFEST

    opened = open_pictures(list(dict.fromkeys(path for item in found.items for path in _paths(item))), "take it away")
    unfit = _unfit(found.items, opened, wanted.kind)
    pictures = {path: picture for path, picture in opened.items() if path not in unfit}
    found.items = [item for item in found.items if unfit.keys().isdisjoint(_paths(item))]
    if not found.items:
        raise UserError(f"Got no picture that can be used: {next(iter(unfit.values()))}.")
    try:
        rows = Rows(found, source)
    except UserError as error:
        left = [*([counted(found.skipped)] if found.skipped else []), *map(named, unfit)]
        raise UserError(f"{error}; left out: {', '.join(left[:_LISTED])}." if left else f"{error}.") from error
    targets = list(dict.fromkeys(item.target for item in found.items))
    name = wanted.name or set_name_of(origin, short_hash([wanted.kind, *_told(rows)]))
    manifest = _folder(name) / MANIFEST
    manifest.parent.mkdir(parents=True, exist_ok=True)
    if not _stands(manifest, rows):
        write_manifest(rows, manifest)
    report = check([manifest], _size(targets, pictures), known=pictures)
    captioned = sum(bool(row.prompt) for row in rows)
    told = [f"{len(targets)} pictures, {len(rows)} rows for training, {captioned} of them with a caption."]
    if found.skipped:
        told.append(f"Not read: {counted(found.skipped)}.")
    made = TrainingSet(
        name=name,
        folder=manifest.parent,
        manifest=manifest,
        kind=wanted.kind,
        rows=len(rows),
        trigger=wanted.trigger,
        first=targets[0],
        digest=sha256_of(manifest),
    )
    prompts = {row.target: row.prompt for row in rows}
    left_out = (f"Left out: {why}" for why in unfit.values())
    return Made(
        made,
        targets,
        [prompts[path] for path in targets],
        told,
        [f"{one.rstrip('.')}." for one in (*left_out, *report.problems, *report.notes)],
    )


def _unfit(items: Iterable[Item], pictures: Mapping[Path, Picture], kind: Kind) -> dict[Path, str]:
    """Return why pictures cannot be used: damaged, or less than one token in the role that they would have."""
    from ...trainer.data.findings import unfit_content, unfit_target

    found = {path: picture.problem for path, picture in pictures.items() if picture.problem}
    for item in items:
        contents = (item.references or ([] if item.style else [item.target])) if kind == "subject" else []
        for look, paths in ((unfit_target, [item.target]), (unfit_content, contents)):
            found |= {path: why for path in paths if path not in found for why in look(path, pictures[path].size)}
    return found


def _paths(item: Item) -> list[Path]:
    return [item.target, *item.style, *(item.references or ())]


def _folder(name: str) -> Path:
    return training_folder("sets", *set_named(name).split("/"))


def _told(rows: Iterable[Row]) -> Iterable[str]:
    return (f"{row.id} {row.prompt} {' '.join(map(str, row.pictures))}" for row in rows)


def _stands(manifest: Path, rows: Iterable[Row]) -> bool:
    """Whether a manifest holds these very rows already, so that the same graph changes no file."""
    from ...trainer.data.manifest import scan_manifest

    return manifest.is_file() and list(scan_manifest(manifest)) == list(rows)


def _size(targets: Sequence[Path], pictures: Mapping[Path, Picture]) -> int:
    """Return the size to look through pictures for: what most of them have, at most what recipes for FLUX.1 take.

    The recipe is not known yet, and one for USO-mini takes pictures that would be small for FLUX.1.
    """
    sides = sorted(int((width * height) ** 0.5) for width, height in (pictures[path].size for path in targets))
    return max(_STEP, min(_USUAL_SIZE, sides[len(sides) // 2]) // _STEP * _STEP)
