"""The miniature's training data on disk: ordinary PNG files and triplet manifests.

`manifest.jsonl` is what the style and the triplet stage read. `captions.jsonl` lists the same pictures with a caption
each and without references; it is what the autoencoder, the encoders and the text-to-image base are trained on.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from .world import photo_caption, sample_triplet, style_caption, write_manifest

__all__ = ["CAPTIONS", "TRIPLETS", "write_data"]

TRIPLETS = "manifest.jsonl"
CAPTIONS = "captions.jsonl"


def write_data(folder: str | Path, count: int, seed: int) -> None:
    """Write `count` training triplets (held-out pairs left out) and the caption manifest of their pictures.

    Args:
        folder: created if needed; holds both manifests and the PNG files.
        count: number of triplets; three pictures each.
        seed: the same seed gives the same files.
    """
    write_manifest(folder, count, seed)
    # The world draws nothing but the triplets from its generator, so the same seed replays them.
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        triplet = sample_triplet(rng)
        rows.append(
            _row(
                f"{triplet.id}-t",
                f"targets/{triplet.id}.png",
                style_caption(triplet.target, triplet.style.name),
            )
        )
        rows.append(_row(f"{triplet.id}-c", f"contents/{triplet.id}.png", photo_caption(triplet.content)))
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (Path(folder) / CAPTIONS).write_text(lines, encoding="utf-8")


def _row(name: str, target: str, prompt: str) -> dict[str, object]:
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
