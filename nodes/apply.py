"""The node that puts references on the conditioning."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from typing import Any

from comfy_api.latest import io

from ..uso_model.errors import UserError
from .graph.conditioning import Entries, emptied, with_content, with_style, with_text_strength
from .graph.dial_inputs import dial_inputs, read_dial
from .graph.dials import Dial
from .graph.host_types import Model
from .graph.model_checks import block_counts, check_content_fits, check_flux, check_given, check_style_fits
from .graph.timing import with_reference
from .graph.widgets import checked_widgets
from .sampling.reader import install_reader
from .sockets import Content, ContentSocket, Style, StyleSocket, advanced, schema

__all__ = ["Apply"]

logger = logging.getLogger(__name__)

SIDES = ("positive", "both", "negative", "positive, batched")


class Apply(io.ComfyNode):
    """Put style and content references on the positive conditioning."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node."""
        return schema(
            node_id="USO_Apply",
            display_name="USO Apply",
            description="Adds style and subject references to the prompt. Several of these nodes in a row "
            "add up; with nothing connected to style and content and no dial turned it changes nothing.",
            search_aliases=[
                "style reference",
                "subject",
                "uso",
                "uno",
                "apply style",
            ],
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="A FLUX.1 model with the USO LoRA.",
                ),
                io.Conditioning.Input(
                    "positive",
                    tooltip="The prompt; it gets the references. An empty prompt with both references "
                    "keeps the subject's layout.",
                ),
                io.Conditioning.Input(
                    "negative",
                    optional=True,
                    tooltip="The negative prompt, passed on without references; when not connected, the "
                    "negative output is an empty conditioning.",
                ),
                StyleSocket.Input("style", optional=True, tooltip="From USO Project Style or USO Load Style."),
                ContentSocket.Input("content", optional=True, tooltip="From USO Encode Content."),
                io.Boolean.Input(
                    "content_on_negative",
                    optional=True,
                    default=False,
                    **advanced(io.Boolean.Input),
                    tooltip="Give the subject to the negative conditioning too; matters only with a CFG "
                    "above 1 or NAG, which then strengthens the prompt and the style instead of the subject.",
                ),
                *dial_inputs("style", "the style"),
                *dial_inputs("content", "the subject"),
                io.Combo.Input(
                    "style_on",
                    optional=True,
                    options=list(SIDES),
                    default=SIDES[0],
                    **advanced(io.Combo.Input),
                    tooltip="Which conditioning gets the style: the prompt; both; or the negative alone, which pushes "
                    "away from the style and needs a CFG above 1. batched: the prompt sees it and the negative carries "
                    "it unseen, so that both run as one batch, as NAGuidance needs it; with a subject, also set "
                    "content_on_negative.",
                ),
                io.Float.Input(
                    "text_strength",
                    optional=True,
                    default=1.0,
                    min=0.0,
                    max=5.0,
                    step=0.01,
                    **advanced(io.Float.Input),
                    tooltip="How much the prompt counts against the references; 1 is USO.",
                ),
            ],
            outputs=[
                io.Model.Output(display_name="model", tooltip="The model to sample with."),
                io.Conditioning.Output(display_name="positive", tooltip="The prompt with its references."),
                io.Conditioning.Output(display_name="negative", tooltip="The negative prompt."),
            ],
        )

    @classmethod
    @checked_widgets
    def execute(
        cls,
        model: Model,
        positive: Entries,
        negative: Entries | None = None,
        style: Style | None = None,
        content: Content | None = None,
        content_on_negative: bool = False,
        style_on: str = "positive",
        text_strength: float = 1.0,
        **dials: Any,
    ) -> io.NodeOutput:
        """Return the model with the reader, and both conditionings; one without a reference stays the same object."""
        if negative is None:
            negative = emptied(positive)
        check_given(model, "model", "a FLUX.1 model: load one with the USO Load Models node")
        if style is None and content is None and text_strength == 1.0:
            return io.NodeOutput(install_reader(model), positive, negative)
        check_flux(model)
        style_dial, content_dial = (read_dial(role, dials, block_counts(model)) for role in ("style", "content"))
        if content is not None and content_dial is not None:
            check_content_fits(content, model)
            add = partial(with_content, content=content)
            positive = with_reference(positive, content_dial, add)
            negative = with_reference(negative, content_dial, add) if content_on_negative else negative
        if style is not None and style_dial is not None:
            check_style_fits(style.tokens, model)
            _warn_of_core_style(model)
            positive, negative = _styled(positive, negative, style, style_dial, style_on)
        if text_strength != 1.0:
            positive = with_text_strength(positive, text_strength)
            if style_on == "positive, batched":
                negative = with_text_strength(negative, 1.0)
        return io.NodeOutput(install_reader(model), positive, negative)


def _styled(positive: Entries, negative: Entries, style: Style, dial: Dial, on: str) -> tuple[Entries, Entries]:
    """Return both conditionings with the style on those that are to have it."""
    add = partial(with_style, style=style)
    if on == "positive, batched":
        if dial.fast:
            raise UserError(
                "Got the fast form for a style that the negative carries unseen, expected exact, which alone can hide "
                "it: set style_form to exact, or style_on to positive."
            )
        shared = replace(dial, shared=True)
        return with_reference(positive, shared, add), with_reference(negative, shared.hidden(), add)
    return (
        with_reference(positive, dial, add) if on in ("positive", "both") else positive,
        with_reference(negative, dial, add) if on in ("negative", "both") else negative,
    )


def _warn_of_core_style(model: Model) -> None:
    patches = model.model_options.get("transformer_options", {}).get("patches", {}).get("post_input", [])
    if any(type(patch).__name__ == "UsoStyleProjectorPatch" for patch in patches):
        logger.warning(
            "The model already carries ComfyUI's own USO style node, which fails for more than one latent "
            "at a time: replace it with another USO Apply if you use batches or a CFG above 1."
        )
