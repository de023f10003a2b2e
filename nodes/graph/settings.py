"""The dials of USO Apply: inputs, and what they mean for a conditioning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ...uso_model.dials.blocks import parse_blocks
from ...uso_model.dials.curves import CURVES, Span, curve_values, spans
from ...uso_model.errors import UserError
from ..sockets import advanced
from .conditioning import Conditioning
from .dials import Dial
from .timing import edited_within

__all__ = ["Setting", "dial_inputs", "setting_of"]

LARGEST = 5.0

FORMS = ("exact", "fast")


@dataclass(frozen=True)
class Setting:
    """What is set on the references of one kind."""

    strength: float
    spans: list[Span]
    dial: Dial
    """Everything but strength."""

    @property
    def is_set(self) -> bool:
        """Whether the network needs to know of it."""
        return bool(self.dial) or any(self.strength * factor != 1.0 for _, _, factor in self.spans if factor)

    @property
    def in_attention(self) -> bool:
        """Whether single blocks have to be told apart, or values to be scaled."""
        return "blocks" in self.dial or "fast" in self.dial

    def on(self, conditioning: Conditioning, add: Callable[..., Conditioning]) -> Conditioning:
        """Return a conditioning with the references that `add` appends, when and as strongly as was set."""
        if self.spans == [(0.0, 1.0, 1.0)]:
            return add(conditioning, dial=self._dial(1.0))
        return edited_within(conditioning, self.spans, lambda part, factor: add(part, dial=self._dial(factor)))

    def _dial(self, factor: float) -> Dial:
        strength = self.strength * factor
        return self.dial if strength == 1.0 else {**self.dial, "strength": strength}

    def hidden(self) -> Setting:
        """Return the setting of references that are there unseen, so that both conditionings share a batch."""
        return replace(self, strength=0.0, spans=[(start, end, 1.0) for start, end, factor in self.spans if factor])

    def sharing(self) -> Setting:
        """Return the setting with a mask in any case, as the hidden references have one."""
        return replace(self, dial={**self.dial, "shared": True})


def dial_inputs(role: str, what: str) -> list[Any]:
    """Return the inputs of one kind of reference.

    Args:
        role: `style` or `content`, the beginning of the inputs' names.
        what: the reference in words.
    """
    return [
        io.Float.Input(
            f"{role}_strength",
            optional=True,
            default=1.0,
            min=0.0,
            max=LARGEST,
            step=0.01,
            tooltip=f"How much {what} counts: 1 is USO, 0 leaves it out, 2 gives its tokens twice the weight.",
        ),
        io.Float.Input(
            f"{role}_start",
            optional=True,
            default=0.0,
            min=0.0,
            max=1.0,
            step=0.01,
            tooltip=f"Where on the noise schedule {what} begins to count, as in ComfyUI's own ranges; before it costs "
            "nothing.",
        ),
        io.Float.Input(
            f"{role}_end",
            optional=True,
            default=1.0,
            min=0.0,
            max=1.0,
            step=0.01,
            tooltip=f"Where on the noise schedule {what} stops counting, as in ComfyUI's own ranges; then it costs "
            "nothing.",
        ),
        io.String.Input(
            f"{role}_curve",
            optional=True,
            default=CURVES[0],
            **advanced(io.String.Input),
            tooltip=f"How the strength goes between start and end: {', '.join(CURVES)}, or numbers such as 1, 0.8, 0.5 "
            "for parts of equal length. All names but fade out rise.",
        ),
        io.String.Input(
            f"{role}_blocks",
            optional=True,
            default="",
            **advanced(io.String.Input),
            tooltip="Strength block by block, such as d0-18:1, s0-37:0.5 (d: double blocks, s: single blocks); "
            "empty: the same in all.",
        ),
        io.Combo.Input(
            f"{role}_form",
            optional=True,
            options=list(FORMS),
            default=FORMS[0],
            **advanced(io.Combo.Input),
            tooltip="exact: a mask that attention adds to its scores, for which flash attention, and sage attention in "
            "some versions, give way to PyTorch's; fast: no mask, but right only near 1, and no region.",
        ),
        io.Mask.Input(
            f"{role}_region",
            optional=True,
            tooltip=f"Where in the drawn picture {what} counts; of any size, soft edges stay soft.",
        ),
    ]


def setting_of(role: str, values: Mapping[str, Any], blocks: tuple[int, int]) -> Setting | None:
    """Return what is set for one kind of reference, None where its strength is 0.

    Args:
        role: `style` or `content`.
        values: of the inputs; those that an older graph lacks have their defaults.
        blocks: double and single blocks of the model.

    Raises:
        UserError: a value cannot be read.
    """
    strength = values.get(f"{role}_strength", 1.0)
    if strength == 0:
        return None
    start, end = values.get(f"{role}_start", 0.0), values.get(f"{role}_end", 1.0)
    parts = spans(start, end, curve_values(values.get(f"{role}_curve", CURVES[0])))
    weights = parse_blocks(values.get(f"{role}_blocks", ""), *blocks)
    region: Tensor | None = values.get(f"{role}_region")
    if weights is not None and min(*weights.double, *weights.single) < 0:
        raise UserError(f"Got a {role} block weight below 0, expected 0 or more: correct {role}_blocks.")
    dial: Dial = {}
    if values.get(f"{role}_form", FORMS[0]) == "fast":
        if region is not None:
            raise UserError(
                f"Got a region for {role} in the fast form, expected no region, which needs a mask: set {role}_form to "
                "exact, or take the mask away."
            )
        dial["fast"] = True
    if region is not None:
        dial["region"] = region.reshape(-1, *region.shape[-2:])
    if weights is not None:
        dial["blocks"] = weights
    return Setting(strength, parts, dial)
