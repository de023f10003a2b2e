"""The pack's own socket types and the schema helper every node uses."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..uso_model.errors import UserError
from .graph.dials import Dial, Place
from .graph.translations import search_words

__all__ = [
    "CATEGORY",
    "Content",
    "ContentSocket",
    "FeaturesSocket",
    "ModelPatchSocket",
    "Style",
    "StyleSocket",
    "TrainingSetSocket",
    "advanced",
    "schema",
]

CATEGORY = "USO"

FeaturesSocket = io.Custom("USO_FEATURES")
StyleSocket = io.Custom("USO_STYLE")
ContentSocket = io.Custom("USO_CONTENT")
TrainingSetSocket = io.Custom("USO_TRAINING_SET")
ModelPatchSocket = getattr(io, "ModelPatch", None) or io.Custom("MODEL_PATCH")


@dataclass(frozen=True, kw_only=True, slots=True)
class Style:
    """Carry projected style tokens and which of them belong to which style picture."""

    tokens: Tensor
    """`1 L D`, the pictures' tokens one after the other."""
    counts: tuple[int, ...]
    """Tokens of each picture, in order; they add up to `L`."""
    bias: Tensor | None = None
    """Logarithm of the strength of every token, `L`; None where all count fully."""
    projector: str | None = None
    """Fingerprint of the projector that made the tokens; None where it is not known."""

    def __post_init__(self) -> None:
        """Check that the counts cover the tokens.

        Raises:
            UserError: if they do not.
        """
        if self.tokens.ndim != 3 or self.tokens.shape[0] != 1 or sum(self.counts) != self.tokens.shape[1]:
            raise UserError(
                f"Got style tokens of shape {tuple(self.tokens.shape)} for pictures of {list(self.counts)} tokens, "
                f"expected (1, {sum(self.counts)}, width): make the style again with USO Project Style."
            )
        if self.bias is not None and self.bias.shape != (sum(self.counts),):
            raise UserError(
                f"Got strengths of shape {tuple(self.bias.shape)} for pictures of {list(self.counts)} tokens, expected "
                f"({sum(self.counts)},): make the style again with USO Project Style."
            )
        if not all(part is None or part.isfinite().all() for part in (self.tokens, self.bias)):
            raise UserError(
                "Got a style that holds NaN or infinite values, expected numbers: make it again, with a vision model "
                "and a projector that are whole."
            )

    def dials(self, dial: Dial) -> list[Dial]:
        """Return the dial of each picture: what is set on all, and its own tokens' strengths."""
        if self.bias is None:
            return [dial] * len(self.counts)
        return [replace(dial, tokens=tokens) for tokens in self.bias.split(self.counts)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """Carry the latents of the subject pictures, each with its own size."""

    latents: tuple[Tensor, ...]
    """One `1 c h w` latent per picture, as the VAE gives it (not yet scaled and shifted); `n c h w` for the
    frames of an animation."""
    place: Place | None = None
    """Where they stand beside the drawn picture; None: on the official diagonal."""

    def dials(self, dial: Dial) -> list[Dial]:
        """Return the dial of each picture: what is set on all, and where it stands."""
        return [replace(dial, place=self.place)] * len(self.latents)


def schema(**fields: Any) -> io.Schema:
    """Build a node schema in the pack's category, without the fields this ComfyUI does not know yet."""
    known = io.Schema.__dataclass_fields__
    fields["search_aliases"] = [*fields.get("search_aliases", ()), *search_words(fields["node_id"])]
    return io.Schema(category=CATEGORY, **{name: value for name, value in fields.items() if name in known})


def advanced(input_type: Any) -> dict[str, bool]:
    """Return the keyword that folds an input away, or nothing on a ComfyUI that cannot."""
    return {"advanced": True} if "advanced" in inspect.signature(input_type.__init__).parameters else {}
