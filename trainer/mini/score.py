"""How well USO-mini follows its references, told by an independent judge on held-out pairs of subject and style."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from ...uso_model.images import picture_tensor
from ...uso_model.mini import MiniModels
from ...uso_model.mini.pipeline import CFG, generate
from .judge import Judge
from .world import STYLES, SUBJECTS, Triplet, sample_triplet

__all__ = ["score"]

_BATCH = 24


def score(
    models: MiniModels,
    judge: Judge,
    count: int = 96,
    seed: int = 999,
    steps: int = 12,
    cfg: float = CFG,
    held_out: bool = True,
) -> dict[str, dict[str, float]]:
    """Measure how often the judge names the style and the subject of the references in the output.

    Targets are pairs of subject and style that no training picture shows. The prompt is empty in every mode, so that
    the references are the only source of subject and style.

    Args:
        models: the miniature.
        judge: classifiers that had no part in its training.
        count: outputs per mode.
        seed: of the triplets and the noise.
        steps: Euler steps.
        cfg: classifier-free guidance, see `generate`.
        held_out: False takes pairs that training shows, which is where settings may be chosen.

    Returns:
        Mode (`none`, `style`, `content`, `both`) to the shares `{"style", "subject"}`; key `chance` holds theirs.
    """
    rng = np.random.default_rng(seed)
    triplets = [sample_triplet(rng, layout="preserved", held_out=held_out) for _ in range(count)]
    pictures = [tuple(Image.fromarray(part) for part in triplet.render()) for triplet in triplets]
    found: dict[str, dict[str, float]] = {"chance": {"style": 1 / len(STYLES), "subject": 1 / len(SUBJECTS)}}
    for mode, (with_style, with_content) in {
        "none": (False, False),
        "style": (True, False),
        "content": (False, True),
        "both": (True, True),
    }.items():
        outputs: list[Image.Image] = []
        for start in range(0, count, _BATCH):
            part = pictures[start : start + _BATCH]
            outputs += generate(
                models,
                [""] * len(part),
                [[style for _, style, _ in part]] if with_style else [],
                [[content for _, _, content in part]] if with_content else [],
                seed=seed + start,
                steps=steps,
                cfg=cfg,
            )
        found[mode] = _named(judge, outputs, triplets)
    return found


@torch.no_grad()
def _named(judge: Judge, outputs: Sequence[Image.Image], triplets: Sequence[Triplet]) -> dict[str, float]:
    subject, style = judge(torch.cat([picture_tensor(picture) for picture in outputs]))
    right_subject = [
        SUBJECTS[i] == t.target.individual.subject for i, t in zip(subject.argmax(1).tolist(), triplets, strict=True)
    ]
    right_style = [
        i < len(STYLES) and STYLES[i] == t.style.name for i, t in zip(style.argmax(1).tolist(), triplets, strict=True)
    ]
    return {"style": float(np.mean(right_style)), "subject": float(np.mean(right_subject))}
