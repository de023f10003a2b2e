"""Noise schedules of USO and FLUX.1 as SIGMAS."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io
from torch import Tensor

from ..uso_model.schedule import flux_schedule, official_schedule, shifted_schedule, token_count
from .graph.checks import check_latent
from .graph.convert import latent_pixels
from .graph.host_types import Model
from .graph.model_checks import check_flux
from .graph.widgets import checked_widgets
from .sockets import advanced, schema

__all__ = ["SCHEDULES", "Scheduler", "schedule_inputs", "schedule_sigmas", "steps_input"]

SCHEDULES = ("official", "flux", "custom")


class Scheduler(io.ComfyNode):
    """Make the noise levels to sample at."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node."""
        return schema(
            node_id="USO_Scheduler",
            display_name="USO Scheduler",
            description="Noise levels for SamplerCustomAdvanced: those of the official USO code, those of "
            "FLUX.1, or your own time shift.",
            search_aliases=["uso sigmas", "flux scheduler", "time shift", "model sampling flux", "sigmas"],
            inputs=[
                io.Model.Input("model", tooltip="The FLUX.1 model the levels are for."),
                steps_input(),
                schedule_inputs()[0],
                io.Int.Input(
                    "width",
                    default=1024,
                    min=16,
                    max=16384,
                    step=16,
                    tooltip="Width of the picture in pixels; the time shift depends on the size.",
                ),
                io.Int.Input(
                    "height",
                    default=1024,
                    min=16,
                    max=16384,
                    step=16,
                    tooltip="Height of the picture in pixels.",
                ),
                *schedule_inputs()[1:],
                io.Latent.Input(
                    "latent",
                    optional=True,
                    tooltip="Takes width and height from this latent instead of the two numbers.",
                ),
            ],
            outputs=[io.Sigmas.Output(display_name="sigmas", tooltip="Noise levels from 1 to 0.")],
        )

    @classmethod
    @checked_widgets
    def execute(
        cls,
        model: Model,
        steps: int,
        schedule: str,
        width: int,
        height: int,
        mu: float,
        denoise: float,
        latent: dict[str, Any] | None = None,
    ) -> io.NodeOutput:
        """Return the sigmas."""
        check_flux(model)
        if latent is not None:
            width, height = latent_pixels(check_latent(latent, model))
        return io.NodeOutput(schedule_sigmas(schedule, steps, width, height, mu, denoise))


def schedule_inputs() -> list[io.WidgetInput]:
    """Return the inputs every node with a schedule shares: schedule, mu, denoise."""
    return [
        io.Combo.Input(
            "schedule",
            options=list(SCHEDULES),
            default=SCHEDULES[0],
            tooltip="official: as the published USO samples were made (a weak time shift); flux: FLUX.1's "
            "shift, stronger for larger pictures; custom: the shift mu below.",
        ),
        io.Float.Input(
            "mu",
            default=1.15,
            min=-5.0,
            max=5.0,
            step=0.01,
            **advanced(io.Float.Input),
            tooltip="Time shift of the custom schedule; larger spends more steps on the layout. Ignored "
            "by the other schedules.",
        ),
        io.Float.Input(
            "denoise",
            default=1.0,
            min=0.0,
            max=1.0,
            step=0.01,
            tooltip="Share of the noise that is put on the latent: 1 starts from noise alone, less keeps "
            "more of the latent.",
        ),
    ]


def schedule_sigmas(schedule: str, steps: int, width: int, height: int, mu: float, denoise: float) -> Tensor:
    """Return falling noise levels, `steps` + 1 of them.

    With `denoise` under 1 these are the last of a longer schedule, as in ComfyUI's BasicScheduler; with 0
    there are none.
    """
    if denoise <= 0:
        return torch.empty(0)
    total = steps if denoise >= 1 else int(steps / denoise)
    if schedule == "official":
        sigmas = official_schedule(total, width, height)
    elif schedule == "flux":
        sigmas = flux_schedule(total, token_count(width, height))
    else:
        sigmas = shifted_schedule(total, mu)
    return sigmas[-(steps + 1) :]


def steps_input() -> io.WidgetInput:
    """Return the input for the number of steps."""
    return io.Int.Input(
        "steps", default=25, min=1, max=10000, tooltip="Number of steps; USO's samples were made with 25."
    )
