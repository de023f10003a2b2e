"""An independent judge: small classifiers of subject and style, trained on fresh renders and never used in training."""

from __future__ import annotations

import logging

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .world import STYLES, SUBJECTS, render_photo, render_style, sample_scene, sample_style

__all__ = ["Judge", "train_judge"]

logger = logging.getLogger(__name__)

PHOTO = len(STYLES)
"""Number of the class of pictures in no style at all."""


class Judge(nn.Module):
    """Tell subject and style of pictures `b 3 128 128` in -1..1."""

    def __init__(self, width: int = 24):
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, width, 5, stride=2, padding=2)]
        for i in range(4):
            layers += [nn.ReLU(), nn.BatchNorm2d(width * min(2**i, 4))]
            layers += [nn.Conv2d(width * min(2**i, 4), width * min(2 ** (i + 1), 4), 3, stride=2, padding=1)]
        self.body = nn.Sequential(*layers, nn.ReLU())
        self.subject = nn.Linear(4 * width * 16, len(SUBJECTS))
        self.style = nn.Linear(4 * width, len(STYLES) + 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scores of every subject and of every style (the last: photo)."""
        h = self.body(x)
        return self.subject(h.flatten(1)), self.style(h.mean(dim=(2, 3)))


def train_judge(
    seed: int = 12345, pictures: int = 6000, steps: int = 700, batch_size: int = 64
) -> tuple[Judge, dict[str, float]]:
    """Train a judge on its own renders, all pairs included, and measure it on renders it has not seen.

    Returns:
        The judge and its accuracies `{"subject", "style"}`.
    """
    rng = np.random.default_rng(seed)
    pixels, subjects, styles = _renders(rng, pictures)
    torch.manual_seed(seed)
    judge = Judge()
    optimizer = torch.optim.AdamW(judge.parameters(), lr=2e-3, weight_decay=0.01)
    plan = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    generator = torch.Generator().manual_seed(seed)
    for step in range(steps):
        index = torch.randint(pictures, (batch_size,), generator=generator)
        x = pixels[index].float() / 127.5 - 1
        x = x + 0.1 * torch.rand((), generator=generator) * torch.randn(x.shape, generator=generator)
        subject, style = judge(x)
        loss = F.cross_entropy(subject, subjects[index]) + F.cross_entropy(style, styles[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        plan.step()
        if (step + 1) % 100 == 0:
            logger.info("judge: step %d of %d, loss %.3f", step + 1, steps, loss.item())
    judge.eval()
    fresh, true_subjects, true_styles = _renders(rng, 600)
    with torch.no_grad():
        subject, style = judge(fresh.float() / 127.5 - 1)
    return judge, {
        "subject": (subject.argmax(1) == true_subjects).float().mean().item(),
        "style": (style.argmax(1) == true_styles).float().mean().item(),
    }


def _renders(rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor, Tensor]:
    pixels, subjects, styles = [], [], []
    for _ in range(count):
        subject = int(rng.integers(len(SUBJECTS)))
        style = int(rng.integers(len(STYLES) + 1))
        scene = sample_scene(rng, SUBJECTS[subject])
        pixels.append(render_photo(scene) if style == PHOTO else render_style(scene, sample_style(rng, STYLES[style])))
        subjects.append(subject)
        styles.append(style)
    stacked = torch.from_numpy(np.stack(pixels)).movedim(-1, 1).contiguous()
    return stacked, torch.tensor(subjects), torch.tensor(styles)
