"""A bench of all four tasks whose pictures have styles and subjects, drawings of it, and judges that cost nothing."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from comfyui_uso.trainer.evaluate.bench import Bench, Picture, Row, picture_name, read_bench, write_bench
from comfyui_uso.uso_model.judging.judge import Card, Sees
from PIL import Image
from torch import Tensor

SIDE, STYLES, SUBJECTS = 32, ("ink", "oil", "clay"), ("cat", "cup", "dog")


class Projection:
    """A judge by a random projection of thumbnails."""

    def __init__(self, name: str = "clip", sees: tuple[Sees, ...] = ("subject", "text")):
        self.card = Card(name, sees, "none", "1", "CC0", "8 x 8", (-1, 1), "nowhere", sha256=name * 2)
        self.weights = torch.randn(192, 24, generator=torch.Generator().manual_seed(len(name)))
        self.embedded = 0

    def prepare(self, picture: Image.Image) -> Tensor:
        return torch.from_numpy(np.array(picture.convert("RGB").resize((8, 8)))).movedim(-1, 0).float() / 255

    def embed(self, prepared: Tensor) -> Tensor:
        self.embedded += len(prepared)
        return F.normalize(prepared.flatten(1) @ self.weights + 0.1, dim=1)

    def embed_pixels(self, pixels: Tensor) -> Tensor:
        return self.embed(F.interpolate(pixels, (8, 8), mode="area") / 2 + 0.5)

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        seeds = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") for text in texts]
        drawn = [torch.randn(24, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return F.normalize(torch.stack(drawn), dim=1)


JUDGES = (("clip", ("subject", "text")), ("csd", ("style",)))


def judges() -> list[Projection]:
    """Return one judge of subjects and texts and one of styles."""
    return [Projection(name, sees) for name, sees in JUDGES]


def clip_judge() -> Projection:
    """Return a judge, as `--judge` names it by import path."""
    return judges()[0]


def csd_judge() -> Projection:
    """Return a judge, as `--judge` names it by import path."""
    return judges()[1]


def picture(subject: str, style: str, seed: int, noise: int = 20) -> Image.Image:
    """Return a picture whose places are the subject's and whose colours are the style's."""
    at = np.random.default_rng([SUBJECTS.index(subject), 1]).random((8, 8, 1)).repeat(4, 0).repeat(4, 1)
    colour = np.random.default_rng([STYLES.index(style), 2]).random((2, 3)) * 200
    noisy = at * colour[0] + (1 - at) * colour[1] + np.random.default_rng([seed, 3]).normal(0, noise, (SIDE, SIDE, 3))
    return Image.fromarray(noisy.clip(1, 254).astype(np.uint8))


def write_judged_bench(folder: Path, prompts: Sequence[str] = ("a {} at sea", "a {} on a hill")) -> Path:
    """Write a bench: each subject and each style has three pictures."""
    pictures: dict[str, Picture] = {}

    def keep(key: str, shown: Image.Image) -> str:
        data = io.BytesIO()
        shown.save(data, "PNG")
        digest = hashlib.sha256(data.getvalue()).hexdigest()
        path = folder / "pictures" / f"{digest}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.getvalue())
        pictures[key] = Picture(path=Path("pictures", path.name), sha256=digest)
        return key

    subjects = {s: [keep(f"{s}-{n}", picture(s, "oil", n)) for n in range(3)] for s in SUBJECTS}
    styles = {s: [keep(f"{s}-{n}", picture("cup", s, 9 + n)) for n in range(3)] for s in STYLES}
    rows = []
    for s, subject in enumerate(SUBJECTS):
        of_subject = {"subject": subject, "content": f"{subject}-0", "against_subject": subjects[subject]}
        for p, prompt in enumerate(prompts):
            rows.append(
                Row(
                    id=f"subject-{s}-{p}", task="subject", prompt=prompt.format(subject), prompt_id=str(p), samples=2
                ).model_copy(update=of_subject)
            )
        for style in STYLES:
            of_style = {"style": f"{style}-0", "style_name": style, "against_style": styles[style]}
            if s == 0:
                for p, prompt in enumerate(prompts):
                    rows.append(
                        Row(
                            id=f"style-{style}-{p}", task="style", prompt=prompt.format("villa"), prompt_id=str(p)
                        ).model_copy(update=of_style)
                    )
            kept = Row(id=f"kept-{s}-{style}", task="joint_kept", prompt="", prompt_id="kept")
            rows.append(kept.model_copy(update={**of_subject, **of_style}))
    write_bench(folder, Bench(protocol="judged", width=SIDE, height=SIDE, pictures=pictures), rows)
    return folder


def draw(bench: Path, run: Path, noise: int = 20) -> Path:
    """Draw a bench well: subjects and styles are what they should be."""
    pictures = run / "pictures"
    pictures.mkdir(parents=True)
    _, rows, _ = read_bench(bench)
    for number, row in enumerate(rows):
        for sample in range(row.samples):
            shown = picture(row.subject or "cup", row.style_name or "oil", 100 + 2 * number + sample, noise)
            shown.save(pictures / picture_name(row, sample))
    return run
