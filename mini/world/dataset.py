"""The miniature's training data on disk: ordinary PNG files and triplet manifests.

`manifest.jsonl` is what the style and the triplet stage read. `captions.jsonl` lists other pictures with a caption each
and without references; it is what the autoencoder, the encoders and the text-to-image base are trained on.
`identity.jsonl` has rows whose content is the target itself, for the stage that learns to copy, and `singles.jsonl`
rows with one of the two references, which the triplet stage can read besides.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...uso_model.untrusted import json_objects
from . import (
    IMPROVISED,
    IMPROVISED_SHARE,
    TRAINING_SUBJECTS,
    photo_caption,
    render_photo,
    render_style,
    sample_scene,
    sample_style,
    style_caption,
    write_manifest,
)

__all__ = [
    "CAPTIONS",
    "IDENTITY",
    "SINGLES",
    "TRIPLETS",
    "write_captioned",
    "write_data",
    "write_identity",
    "write_singles",
]

TRIPLETS = "manifest.jsonl"
CAPTIONS = "captions.jsonl"
IDENTITY = "identity.jsonl"
SINGLES = "singles.jsonl"


def write_data(
    folder: str | Path,
    pictures: int,
    triplets: int,
    seed: int,
    improvised: float = IMPROVISED_SHARE,
    hybrids: float = 0.0,
) -> None:
    """Write captioned pictures, triplets, and the manifests of both and of what is made of them.

    The last sixteenth of the triplets is marked for validation.

    Args:
        folder: created if needed; holds the manifests and the PNG files.
        pictures: captioned ones of all subjects and styles.
        triplets: three pictures each, of training subjects and styles.
        seed: the same seed gives the same files.
        improvised: share of triplets in a style without a name.
        hybrids: share of triplets whose subject joins two classes.
    """
    manifest = write_manifest(folder, triplets, seed, improvised=improvised, hybrids=hybrids)
    _write(Path(folder) / TRIPLETS, _with_validation(json_objects(manifest)))
    write_captioned(folder, pictures, seed)
    write_identity(folder)
    write_singles(folder, seed)


def write_captioned(folder: str | Path, count: int, seed: int) -> None:
    """Write captioned pictures of all subjects: one in five a photo, one in five in a style without a name."""
    root = Path(folder) / "pictures"
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
        Image.fromarray(picture).save(root / f"{number:06d}.png")
        rows.append(_row(f"{seed}-{number:06d}", f"pictures/{number:06d}.png", prompt))
    _write(Path(folder) / CAPTIONS, rows)


def write_identity(folder: str | Path) -> None:
    """Write the manifest of rows whose target is the content picture itself.

    Photos and styled pictures alternate; the style reference of a photo is another photo. To copy is the plainest use
    of a content reference, and the one that teaches attention where to look.
    """
    triplets = json_objects(Path(folder) / TRIPLETS)
    rows = []
    for number, (triplet, other) in enumerate(zip(triplets, triplets[1:] + triplets[:1], strict=True)):
        photo = number % 2 == 0
        target = triplet["content"] if photo else triplet["target"]
        rows.append(
            {
                **triplet,
                "id": f"{triplet['id']}-i",
                "target": target,
                "content": target,
                "style": [other["content"]] if photo else triplet["style"],
                "prompt": "",
                "layout": "preserved",
            }
        )
    _write(Path(folder) / IDENTITY, rows)


def write_singles(folder: str | Path, seed: int) -> None:
    """Write the manifest of rows with one reference, and the photos that it needs.

    For every fourth triplet there is a pair of photos of one individual, every other pair in two layouts, and for every
    eighth a picture with its style reference and its caption. A triplet with its style left out would not do: its
    target is in a style that nothing tells.
    """
    root = Path(folder) / "photos"
    root.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, 2])
    triplets = [row for row in json_objects(Path(folder) / TRIPLETS) if row["split"] == "train"]
    rows = []
    for number in range(len(triplets) // 4):
        names = [f"photos/{number:06d}-{which}.png" for which in "ab"]
        scenes = [sample_scene(rng, TRAINING_SUBJECTS[int(rng.integers(len(TRAINING_SUBJECTS)))])]
        if number % 2:
            scenes.append(scenes[0].repose(rng))
        for name, scene in zip(names, scenes, strict=False):
            Image.fromarray(render_photo(scene)).save(Path(folder) / name)
        row = _row(f"{seed}-{number:06d}-photo", names[len(scenes) - 1], scenes[1].caption() if number % 2 else "")
        rows.append({**row, "content": names[0], "layout": "shifted" if number % 2 else "preserved"})
    shifted = [row for row in triplets if row["layout"] == "shifted"]
    rows += [{**row, "id": f"{row['id']}-s", "content": None} for row in shifted[: len(triplets) // 8]]
    _write(Path(folder) / SINGLES, rows)


def _with_validation(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    first = len(rows) - len(rows) // 16
    return [{**row, "split": "validation" if i >= first else row["split"]} for i, row in enumerate(rows)]


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _row(name: str, target: str, prompt: str) -> dict[str, Any]:
    return {
        "id": name,
        "target": target,
        "style": [],
        "content": None,
        "prompt": prompt,
        "layout": "shifted",
        "scores": {},
        "split": "train",
    }
