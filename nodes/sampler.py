"""Sampling with USO's own settings, through ComfyUI's sampler."""

from __future__ import annotations

from typing import Any

import comfy.sample
import comfy.samplers
import comfy.utils
import latent_preview
from comfy_api.latest import io

from .graph.checks import check_latent
from .graph.conditioning import Entries, emptied, with_guidance
from .graph.convert import latent_pixels
from .graph.frames import of_frames
from .graph.host_types import Model
from .graph.model_checks import check_flux
from .graph.widgets import checked_widgets
from .sampling.reader import install_reader
from .scheduler import schedule_inputs, schedule_sigmas, steps_input
from .sockets import schema

__all__ = ["Sampler"]


class Sampler(io.ComfyNode):
    """Sample a picture with the official defaults."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node."""
        return schema(
            node_id="USO_Sampler",
            display_name="USO Sampler",
            description="Samples with the settings of the official USO code: 25 Euler steps, guidance 4, "
            "its own noise schedule. Everything runs in ComfyUI's sampler, so previews, masks and other "
            "nodes keep working.",
            search_aliases=["ksampler", "flux sampler", "uso", "sample", "flux guidance"],
            inputs=[
                io.Model.Input("model", tooltip="The model from USO Apply."),
                io.Conditioning.Input("positive", tooltip="The prompt with its references, from USO Apply."),
                io.Latent.Input(
                    "latent", tooltip="Latent to start from, for example the empty one of USO Encode Content."
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip="Number that fixes the noise; the same seed gives the same picture.",
                ),
                steps_input(),
                io.Float.Input(
                    "guidance",
                    default=4.0,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    tooltip="FLUX.1's built-in guidance, put on both conditionings; USO's samples were made with 4.",
                ),
                io.Float.Input(
                    "cfg",
                    default=1.0,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    tooltip="Classifier-free guidance; 1 switches it off, more doubles the time and needs "
                    "a negative prompt.",
                ),
                io.Combo.Input(
                    "sampler_name",
                    options=list(comfy.samplers.SAMPLER_NAMES),
                    default="euler",
                    tooltip="Sampling method; USO uses euler.",
                ),
                *schedule_inputs(),
                io.Conditioning.Input(
                    "negative",
                    optional=True,
                    tooltip="The negative prompt; when not connected, an empty conditioning is used.",
                ),
            ],
            outputs=[io.Latent.Output(display_name="latent", tooltip="The sampled latent, for VAE Decode.")],
        )

    @classmethod
    @checked_widgets
    def execute(
        cls,
        model: Model,
        positive: Entries,
        latent: dict[str, Any],
        seed: int,
        steps: int,
        guidance: float,
        cfg: float,
        sampler_name: str,
        schedule: str,
        mu: float,
        denoise: float,
        negative: Entries | None = None,
    ) -> io.NodeOutput:
        """Return the sampled latent."""
        check_flux(model)
        check_latent(latent, model)
        start = comfy.sample.fix_empty_latent_channels(model, latent["samples"], *_ratios(latent))
        width, height = latent_pixels(start.unbind()[0] if start.is_nested else start)
        sigmas = schedule_sigmas(schedule, steps, width, height, mu, denoise)
        negative = emptied(positive) if negative is None else negative
        frames = latent.get("batch_index")
        samples = comfy.sample.sample_custom(
            install_reader(model),
            comfy.sample.prepare_noise(start, seed, frames),
            cfg,
            comfy.samplers.sampler_object(sampler_name),
            sigmas,
            *(of_frames(with_guidance(entries, guidance), frames) for entries in (positive, negative)),
            start,
            noise_mask=latent.get("noise_mask"),
            callback=latent_preview.prepare_callback(model, max(len(sigmas) - 1, 0)),
            disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
            seed=seed,
        )
        return io.NodeOutput({**{k: v for k, v in latent.items() if k not in _SCALE_KEYS}, "samples": samples})


_SCALE_KEYS = ("downscale_ratio_spacial", "downscale_ratio_temporal")


def _ratios(latent: dict[str, Any]) -> list[Any]:
    """Return the downscale ratios a LATENT carries, for the repair of empty latents of another model."""
    return [latent[key] for key in _SCALE_KEYS if key in latent]
