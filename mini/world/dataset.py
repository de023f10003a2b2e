"""USO-mini's training data on disk: ordinary PNG files and triplet manifests.

| manifest         | rows                                       | read by                                 |
|------------------|--------------------------------------------|-----------------------------------------|
| `manifest.jsonl` | triplets                                   | stages style, copy, triplet and reward  |
| `captions.jsonl` | other pictures with captions               | autoencoder, encoders and base          |
| `identity.jsonl` | rows whose content is the target itself    | stage copy                              |
| `singles.jsonl`  | rows with one of the two references        | stage triplet, where a plan asks for it |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from ...trainer.data.manifest import Row, read_manifest, write_manifest
from ...uso_model.errors import UserError
from . import (
    IMPROVISED,
    IMPROVISED_SHARE,
    TRAINING_SUBJECTS,
    photo_caption,
    render_photo,
    render_style,
    sample_scene,
    sample_style,
    sample_triplet,
    style_caption,
)

__all__ = [
    "CAPTIONS",
    "IDENTITY",
    "SINGLES",
    "TRIPLETS",
    "WRITTEN",
    "data_steps",
    "read_rows",
    "write_captioned",
    "write_data",
    "write_identity",
    "write_singles",
    "write_triplets",
]

TRIPLETS = "manifest.jsonl"
CAPTIONS = "captions.jsonl"
IDENTITY = "identity.jsonl"
SINGLES = "singles.jsonl"

WRITTEN = (TRIPLETS, CAPTIONS, IDENTITY, SINGLES, "targets", "styles", "contents", "pictures", "photos")
"""Files and folders of a set."""

VALIDATION = 16
"""One triplet in so many, at the end, is marked for validation."""


def write_data(
    folder: str | Path,
    pictures: int,
    triplets: int,
    seed: int,
    improvised: float = IMPROVISED_SHARE,
    hybrids: float = 0.0,
) -> None:
    """Write captioned pictures and triplets, and all four manifests.

    The last sixteenth of the triplets is marked for validation.

    Args:
        folder: created if needed; holds the manifests and the PNG files.
        pictures: captioned ones of all subjects and styles.
        triplets: three pictures each, of training subjects and styles.
        seed: the same seed gives the same files.
        improvised: share of triplets in a style without a name.
        hybrids: share of triplets whose subject joins two classes.

    Raises:
        UserError: for a negative number of triplets or a share outside 0..1.
    """
    for write in data_steps(folder, pictures, triplets, seed, improvised, hybrids).values():
        write()


def data_steps(
    folder: str | Path,
    pictures: int,
    triplets: int,
    seed: int,
    improvised: float = IMPROVISED_SHARE,
    hybrids: float = 0.0,
) -> dict[str, Callable[[], None]]:
    """Return what `write_data` does as steps by name, in their order; each may be repeated alone."""
    folder = Path(folder)
    return {
        "triplets": partial(write_triplets, folder, triplets, seed, improvised, hybrids),
        "captions": partial(write_captioned, folder, pictures, seed),
        "identity": partial(write_identity, folder),
        "singles": partial(write_singles, folder, seed),
    }


def write_triplets(
    folder: Path, count: int, seed: int, improvised: float = IMPROVISED_SHARE, hybrids: float = 0.0
) -> None:
    """Write triplets as PNG files in `targets`, `styles` and `contents`, and their manifest.

    Raises:
        UserError: for a negative count or a share outside 0..1.
    """
    if count < 0:
        raise UserError(f"Got {count} triplets, expected 0 or more; pass how many to write.")
    for what, share in (("improvised", improvised), ("hybrids", hybrids)):
        if not 0 <= share <= 1:
            raise UserError(f"Got {what} = {share:g}, expected a share from 0 to 1; pass 0.4 for 40 %.")
    roots = [folder / name for name in ("targets", "styles", "contents")]
    for root in roots:
        root.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    first_held_out = count - count // VALIDATION
    rows = []
    for number in range(count):
        triplet = sample_triplet(rng, improvised=improvised, hybrids=hybrids)
        target, style, content = (root / f"{triplet.id}.png" for root in roots)
        for path, picture in zip((target, style, content), triplet.render(), strict=True):
            Image.fromarray(picture).save(path)
        rows.append(
            Row(
                id=triplet.id,
                target=target,
                style=[style],
                content=content,
                prompt=triplet.prompt,
                layout=triplet.layout,
                split="validation" if number >= first_held_out else "train",
            )
        )
    _write(folder / TRIPLETS, rows)


def write_captioned(folder: Path, count: int, seed: int) -> None:
    """Write captioned pictures of all subjects: one in five a photo, one in five in a style without a name."""
    root = folder / "pictures"
    root.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, 1])
    rows = []
    for number in range(count):
        scene = sample_scene(rng)
        kind = rng.uniform()
        if kind < 0.2:
            picture, prompt = render_photo(scene), photo_caption(scene)
        else:
            style = sample_style(rng, IMPROVISED if kind < 0.4 else None)
            picture, prompt = render_style(scene, style), style_caption(scene, style.name)
        path = root / f"{number:06d}.png"
        Image.fromarray(picture).save(path)
        rows.append(Row(id=f"{seed}-{number:06d}", target=path, prompt=prompt))
    _write(folder / CAPTIONS, rows)


def write_identity(folder: Path) -> None:
    """Write the manifest of rows whose target is the content picture itself.

    Photos and styled pictures alternate; the style reference of a photo is another photo. A copy is the simplest use of
    a content reference: it teaches attention where to look.
    """
    triplets = [*read_rows(folder / TRIPLETS)]
    rows = []
    for number, (triplet, other) in enumerate(zip(triplets, triplets[1:] + triplets[:1], strict=True)):
        photo = number % 2 == 0
        target = triplet.content if photo else triplet.target
        style = [other.content] if photo else triplet.style
        changes = {"target": target, "content": target, "style": style, "prompt": "", "layout": "preserved"}
        rows.append(triplet.model_copy(update={**changes, "id": f"{triplet.id}-i"}))
    _write(folder / IDENTITY, rows)


def write_singles(folder: Path, seed: int) -> None:
    """Write the manifest of rows with one reference, and the photos that it needs.

    Every fourth triplet brings a pair of photos of one individual, every other pair in two layouts. Every eighth brings
    a picture with its style reference and its caption. Triplets without their style reference would not do: nothing
    would tell the style of their target.
    """
    root = folder / "photos"
    root.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, 2])
    triplets = [row for row in read_rows(folder / TRIPLETS) if row.split == "train"]
    rows = []
    for number in range(len(triplets) // 4):
        moved = number % 2 == 1
        scenes = [sample_scene(rng, TRAINING_SUBJECTS[int(rng.integers(len(TRAINING_SUBJECTS)))])]
        if moved:
            scenes.append(scenes[0].repose(rng))
        paths = [root / f"{number:06d}-{which}.png" for which in "ab"[: len(scenes)]]
        for path, scene in zip(paths, scenes, strict=True):
            Image.fromarray(render_photo(scene)).save(path)
        rows.append(
            Row(
                id=f"{seed}-{number:06d}-photo",
                target=paths[-1],
                content=paths[0],
                prompt=scenes[-1].caption() if moved else "",
                layout="shifted" if moved else "preserved",
            )
        )
    shifted = [row for row in triplets if row.layout == "shifted"][: len(triplets) // 8]
    rows += [row.model_copy(update={"id": f"{row.id}-s", "content": None}) for row in shifted]
    _write(folder / SINGLES, rows)


def read_rows(path: Path) -> Sequence[Row]:
    """Return the rows of a manifest, of all splits; a world of no pictures has manifests of no rows."""
    return [] if path.is_file() and path.stat().st_size == 0 else read_manifest(path, split=None)


def _write(path: Path, rows: Sequence[Row]) -> None:
    if rows:
        write_manifest(rows, path)
    else:
        path.write_text("", encoding="utf-8")
