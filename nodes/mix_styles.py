"""Several styles to one."""

from __future__ import annotations

import math
from typing import Any

import torch
from comfy_api.latest import io

from ..uso_model.dials.mixing import MODES, mix
from ..uso_model.errors import UserError
from .graph.widgets import checked_widgets
from .sockets import Style, StyleSocket, advanced, schema

__all__ = ["MixStyles"]

MOST = 8


class MixStyles(io.ComfyNode):
    """Mix styles, each with a weight."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node."""
        return schema(
            node_id="USO_MixStyles",
            display_name="USO Mix Styles",
            description="Makes one style of several. concat keeps the tokens of all and costs as much as all; the "
            "others make one set of tokens and cost as much as one.",
            search_aliases=["style mix", "blend", "average", "slerp", "interpolate", "combine embeds"],
            inputs=[
                StyleSocket.Input("style_1", optional=True, tooltip="From USO Project Style or USO Load Style."),
                *(
                    StyleSocket.Input(f"style_{n}", optional=True, tooltip="Another one, likewise.")
                    for n in range(2, MOST + 1)
                ),
                io.Combo.Input(
                    "mode",
                    options=list(MODES),
                    default=MODES[0],
                    tooltip="concat: all tokens, as several references; average: weighted mean; lerp and slerp: a "
                    "point on the line or the arc between two styles, weight_2 / (weight_1 + weight_2) of the way.",
                ),
                *(
                    io.Float.Input(
                        f"weight_{n}",
                        optional=True,
                        default=1.0,
                        min=0.0,
                        max=5.0,
                        step=0.01,
                        **(advanced(io.Float.Input) if n > 2 else {}),
                        tooltip=f"How much style_{n} counts; 0 leaves it out.",
                    )
                    for n in range(1, MOST + 1)
                ),
            ],
            outputs=[StyleSocket.Output(display_name="style", tooltip="Style tokens for USO Apply.")],
        )

    @classmethod
    @checked_widgets
    def execute(cls, mode: str, **values: Any) -> io.NodeOutput:
        """Return the mixed style, None of no style."""
        pairs = [(values.get(f"style_{n}"), values.get(f"weight_{n}", 1.0)) for n in range(1, MOST + 1)]
        parts = [(style, weight) for style, weight in pairs if style is not None]
        return io.NodeOutput(mixed(parts, mode) if parts else None)


def mixed(parts: list[tuple[Style, float]], mode: str) -> Style:
    """Return one style of several with their weights.

    Raises:
        UserError: all weights are 0, or the styles cannot be mixed in this way.
    """
    used = [(style, weight) for style, weight in parts if weight > 0]
    if not used:
        raise UserError("Got only weights of 0, expected one above: give at least one style a weight.")
    widths = sorted({style.tokens.shape[-1] for style, _ in used})
    if len(widths) > 1:
        raise UserError(
            f"Got styles of widths {' and '.join(map(str, widths))}, expected one width: mix styles that were made "
            "with projectors of the same model."
        )
    if mode == "concat":
        bias = torch.cat([_bias(style) + math.log(weight) for style, weight in used])
        tokens = torch.cat([style.tokens.to(used[0][0].tokens) for style, _ in used], dim=1)
        counts = tuple(count for style, _ in used for count in style.counts)
        return Style(tokens=tokens, counts=counts, bias=bias if bias.any() else None, projector=_projector(used))
    if len(used) == 1:
        return used[0][0]
    weights = [weight for _, weight in used]
    tokens = mix([style.tokens.to(used[0][0].tokens) for style, _ in used], weights, mode)
    bias = torch.stack([_bias(style) * (weight / sum(weights)) for style, weight in used]).sum(0)
    bias_or_none = bias if bias.any() else None
    return Style(tokens=tokens, counts=used[0][0].counts, bias=bias_or_none, projector=_projector(used))


def _projector(parts: list[tuple[Style, float]]) -> str | None:
    """Return the projector that all have in common, None where they differ."""
    known = {style.projector for style, _ in parts}
    return known.pop() if len(known) == 1 else None


def _bias(style: Style) -> torch.Tensor:
    return torch.zeros(style.tokens.shape[1]) if style.bias is None else style.bias.float().cpu()
