"""The node that reuses references' keys and values over steps."""

from __future__ import annotations

from typing import Any

from comfy.patcher_extension import WrappersMP
from comfy_api.latest import io

from .graph.host_types import Model
from .graph.isolation import NOTHING_TO_DO, is_isolated
from .graph.keys import REUSE
from .graph.model_checks import check_flux
from .graph.node_text import show_on_node
from .graph.widgets import checked_widgets
from .sampling.reader import install_reader
from .sampling.reuse.hooks import begin_evaluation, reserve_memory
from .sampling.reuse.settings import FORMS, Form, ReuseSettings
from .sockets import advanced, schema

__all__ = ["ReuseReferences", "with_reuse"]


class ReuseReferences(io.ComfyNode):
    """Compute style and subject references only on some steps."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node."""
        return schema(
            node_id="USO_ReuseReferences",
            display_name="USO Reuse References",
            description="Makes references nearly free: style and subject tokens are computed only on some steps. On "
            "the steps between, the model sees their keys and values extrapolated from the last two times.",
            search_aliases=["reuse references", "kv cache", "flux kv cache", "speed up", "faster", "easycache", "uso"],
            inputs=[
                io.Model.Input("model", tooltip="The FLUX.1 model that the sampler gets."),
                io.Int.Input(
                    "every",
                    default=3,
                    min=1,
                    max=100,
                    tooltip="Compute references every so many steps; 1: on all of them, exactly as without this node. "
                    "Keeping them takes 1.7 GB of memory for one style and one subject, 0.85 GB with hold, and twice "
                    "that with references on the negative side, too.",
                ),
                io.Combo.Input(
                    "form",
                    options=list(FORMS),
                    default=FORMS[0],
                    tooltip="corrected: extrapolated from the last two times, and the last error made up for in part, "
                    "the most accurate. linear: without that. hold: as they were the last time, half the memory.",
                    **advanced(io.Combo.Input),
                ),
                io.Int.Input(
                    "first",
                    default=1,
                    min=0,
                    max=100,
                    tooltip="Steps at the start that are always exact.",
                    **advanced(io.Int.Input),
                ),
                io.Int.Input(
                    "last",
                    default=0,
                    min=0,
                    max=100,
                    tooltip="Steps at the end that are always exact.",
                    **advanced(io.Int.Input),
                ),
                io.Float.Input(
                    "tolerance",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.005,
                    tooltip="Compute references early where the expected error of what is extrapolated is larger than "
                    "this; every is then the longest wait: try 0.2, and 10 for every. 0: go by every alone. The first "
                    "error is known at the fourth time: until then the wait is up to three steps, whatever this says.",
                    **advanced(io.Float.Input),
                ),
            ],
            outputs=[io.Model.Output(display_name="model", tooltip="The model that reuses references.")],
        )

    @classmethod
    @checked_widgets
    def execute(cls, model: Model, every: int, form: Form, first: int, last: int, tolerance: float) -> io.NodeOutput:
        """Return the MODEL."""
        check_flux(model)
        if is_isolated(model):
            show_on_node(NOTHING_TO_DO)
            return io.NodeOutput(model)
        show_on_node("")
        if every == 1:
            return io.NodeOutput(without_reuse(model))
        return io.NodeOutput(
            with_reuse(model, ReuseSettings(every=every, form=form, first=first, last=last, tolerance=tolerance))
        )


def with_reuse(model: Model, settings: ReuseSettings) -> Model:
    """Return a clone of a MODEL that reuses references; later settings replace earlier ones."""
    reading = install_reader(model)
    patched = reading.clone()
    options: dict[str, Any] = patched.model_options.setdefault("transformer_options", {})
    if REUSE not in options:
        patched.add_wrapper_with_key(WrappersMP.PREPARE_SAMPLING, REUSE, reserve_memory)
        patched.add_wrapper_with_key(WrappersMP.PREDICT_NOISE, REUSE, begin_evaluation)
    options[REUSE] = settings
    return patched


def without_reuse(model: Model) -> Model:
    """Return a MODEL that reuses nothing: itself, or a clone where a node before says otherwise."""
    if model.model_options.get("transformer_options", {}).get(REUSE) is None:
        return model
    patched = model.clone()
    patched.model_options["transformer_options"][REUSE] = None
    return patched
