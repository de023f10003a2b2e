"""USO-mini as a drawer of benches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from pydantic import Field

from ...trainer.evaluate.bench import Row
from ...trainer.evaluate.drawers.drawer import Inputs
from ...trainer.reading.errors import Origin
from ...trainer.reading.values import typed, validated
from ...trainer.settings.base import Settings
from ...uso_model.errors import UserError
from ...uso_model.writing import sha256_of
from ..model import WEIGHTS, MiniModels, load_mini, weight_files
from ..model.generate import CFG, generate
from .rows import BATCH

__all__ = ["Draw", "MiniDrawer", "bundled_drawer", "draw_with"]

Draw = Callable[[Sequence[str], Sequence[Image.Image] | None, Sequence[Image.Image] | None, int], list[Image.Image]]
"""Prompts, style references, content references (None: without) and a seed to pictures."""

MOST_NOISE = 2**32
"""No row's noise is this number or a higher one."""

DRAWN_WITH = ("flux", "lora", "projector", "autoencoder", "vision", "text")
"""Files that decide how the bundled network draws."""


class Drawing(Settings):
    """How the network draws."""

    weights: Path = Field(WEIGHTS, description="folder of the network's files")
    steps: int | None = Field(None, gt=0, description="Euler steps; none: as many as the bench says")
    cfg: float = Field(CFG, description="classifier-free guidance")
    lora_strength: float = Field(1.0, description="0: the base, which no reference has taught")


class MiniDrawer:
    """Draws rows of USO-mini's bench, those of a batch from one noise.

    The noise belongs to the row's place in the bench, and not to the seeds of the bench: it is the noise of every row
    that was ever measured, so that numbers can be compared with those of old.
    """

    batch = BATCH
    noise = "of each batch: the row's place in the bench"

    def __init__(self, draw: Draw, picture: Callable[[str], Image.Image], about: dict[str, Any]):
        """Take what draws.

        Args:
            draw: draws a batch.
            picture: gives a picture of the bench by its key.
            about: what draws, see `Drawer.describe`.
        """
        self.draw, self.picture, self.about = draw, picture, about

    def describe(self) -> dict[str, Any]:
        """Return what draws."""
        return self.about

    def __call__(self, rows: Sequence[Row], samples: Sequence[int], seeds: Sequence[int]) -> list[Image.Image]:
        """Return a picture for each row; see `Drawer`.

        Raises:
            UserError: the bench is another one: its rows do not name one noise.
        """
        noise = rows[0].facts.get("noise")
        same = all(row.facts.get("noise") == noise for row in rows)
        if type(noise) is not int or not 0 <= noise < MOST_NOISE or not same:
            raise UserError(
                "USO-mini draws the bench mini_bench alone, whose rows name their noise by a number, the same in a "
                "group; use that bench"
            )
        styles, contents = ([row.style for row in rows], [row.content for row in rows])
        return self.draw([row.prompt for row in rows], self._opened(styles), self._opened(contents), noise)

    def _opened(self, keys: Sequence[str | None]) -> list[Image.Image] | None:
        """Return the pictures of a column of references; the rows of a group have it all, or none has it."""
        return [self.picture(key) for key in keys if key is not None] or None


def draw_with(models: MiniModels, steps: int, cfg: float, vae: bool = False) -> Draw:
    """Return a function that draws with given models.

    Args:
        models: of USO-mini.
        steps: Euler steps.
        cfg: classifier-free guidance.
        vae: whether style references go through the autoencoder, as content references do.
    """

    def draw(
        prompts: Sequence[str],
        styles: Sequence[Image.Image] | None,
        contents: Sequence[Image.Image] | None,
        seed: int,
    ) -> list[Image.Image]:
        style, content = ([] if column is None else [column] for column in (styles, contents))
        if vae:
            style, content = [], content + style
        return generate(models, prompts, style, content, seed=seed, steps=steps, cfg=cfg)

    return draw


def bundled_drawer(inputs: Inputs) -> MiniDrawer:
    """Return a drawer with the bundled network, or with that of another folder; see `Drawing`.

    Raises:
        UserError: a setting is wrong.
        FileNotFoundError: a file of the network is missing.
    """
    given = typed(Drawing, inputs.texts)
    chosen = validated(Drawing, given, Origin("the drawer's settings", None, given))
    steps = chosen.steps or inputs.bench.steps
    models = load_mini(chosen.weights, chosen.lora_strength)
    files = weight_files(chosen.weights)
    about = {
        "name": "USO-mini" if chosen.lora_strength == 1 else f"USO-mini, lora_strength {chosen.lora_strength:g}",
        "files": {files[part].name: sha256_of(files[part]) for part in DRAWN_WITH},
        "settings": {"steps": steps, "cfg": chosen.cfg, "lora_strength": chosen.lora_strength},
    }
    return MiniDrawer(draw_with(models, steps, chosen.cfg), inputs.picture, about)
