"""One denoising step of ComfyUI's FLUX with references, ready to be timed: what the step benchmarks share.

ComfyUI runs on the CPU inside the process, with random weights and FLUX.1's real token counts: 1024x1024 pixels are
4096 image tokens, a content picture 1024, a style picture 192, the text 512.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from functools import cached_property, partial
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch.profiler import ProfilerActivity, profile

STYLE_LAYERS, STYLE_TOKENS, STYLE_WIDTH = 27, 729, 1152
TEXT_TOKENS, TEXT_WIDTH, POOLED_WIDTH = 512, 64, 32
HEAD, CONTENT_PIXELS = 128, 512
SIZES = (1024, 512)
"""Sides of the drawn pictures in pixels."""


class Case(NamedTuple):
    """A graph that is ready to sample."""

    model: Any
    positive: Any
    pixels: int


class Seconds(NamedTuple):
    """Time of one step, by the clock and summed over the processors."""

    wall: float
    cpu: float


def arguments(description: str) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--width", type=int, default=256, help="hidden size, a multiple of 128")
    parser.add_argument("--double-blocks", type=int, default=1)
    parser.add_argument("--single-blocks", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=9, help="alternating pairs of steps")
    parser.add_argument("--repeats", type=int, default=3, help="steps per row of the reference costs")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


def start_comfy(*options: str) -> None:
    """Import ComfyUI into this process, which is started anew with ComfyUI's folder among the import paths.

    Args:
        options: of ComfyUI's command line; none: `--cpu`.
    """
    folder = Path(os.environ.get("COMFYUI_PATH") or "~/comfy/ComfyUI").expanduser()
    if not (folder / "main.py").is_file():
        sys.exit(f"no ComfyUI in {folder}: set COMFYUI_PATH to a checkout")
    if find_spec("comfy") is None:  # ComfyUI is no installed package
        folders = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "PYTHONPATH": folders})
    sys.argv = ["comfyui", *(options or ("--cpu",))]  # ComfyUI reads the command line when imported
    import comfy.options

    comfy.options.enable_args_parsing()
    import comfy.cli_args


class Bench:
    """One random FLUX and projector, and the graphs over them, on the device that ComfyUI chooses."""

    def __init__(self, width: int, double_blocks: int, single_blocks: int, dtype: torch.dtype = torch.float32):
        import comfy.model_management
        import comfy.model_patcher
        import comfy.supported_models

        self.width, self.device = width, comfy.model_management.get_torch_device()
        sizes = {
            "image_model": "flux",
            "in_channels": 16,
            "out_channels": 16,
            "vec_in_dim": POOLED_WIDTH,
            "context_in_dim": TEXT_WIDTH,
            "hidden_size": width,
            "mlp_ratio": 4.0,
            "num_heads": width // HEAD,
            "depth": double_blocks,
            "depth_single_blocks": single_blocks,
            "axes_dim": [16, 56, 56],
            "theta": 10000,
            "patch_size": 2,
            "qkv_bias": True,
            "guidance_embed": True,
            "txt_ids_dims": [],
        }
        config = comfy.supported_models.Flux(sizes)
        config.set_inference_dtype(dtype, None)
        config.unet_config["dtype"] = dtype
        flux = config.get_model({}, device=self.device)
        self.fill(flux.diffusion_model)
        self.generator = torch.Generator().manual_seed(0)
        self.model = comfy.model_patcher.CoreModelPatcher(flux, self.device, self.device)
        noise = partial(torch.randn, generator=self.generator)
        self.seen = [noise(1, STYLE_LAYERS, STYLE_TOKENS, STYLE_WIDTH) for _ in range(2)]
        self.latents = [noise(1, 16, CONTENT_PIXELS // 8, CONTENT_PIXELS // 8) for _ in range(3)]
        pooled = {"pooled_output": noise(1, POOLED_WIDTH), "guidance": 4.0}
        self.prompt = [[noise(1, TEXT_TOKENS, TEXT_WIDTH), pooled]]

    def fill(self, module: torch.nn.Module) -> None:
        """Give a module random weights."""
        generator = torch.Generator(self.device).manual_seed(0)
        for parameter in module.parameters():
            parameter.normal_(std=0.02, generator=generator)

    @cached_property
    def projector(self) -> Any:
        """Return the random projector."""
        import comfy.model_patcher
        import comfy.ops
        from comfy_extras.nodes_model_patch import SigLIPMultiFeatProjModel

        projector = SigLIPMultiFeatProjModel(hidden_size=self.width, operations=comfy.ops.manual_cast)
        self.fill(projector)
        return comfy.model_patcher.CoreModelPatcher(projector, self.device, self.device)

    def style(self, styles: int) -> Any:
        """Return USO_STYLE of some of the made-up pictures."""
        from comfyui_uso.nodes.style import ProjectStyle
        from comfyui_uso.uso_model.style import StyleFeatures, style_layers

        states = torch.cat(self.seen[:styles])
        features = StyleFeatures(*(states[:, layer - 1].clone() for layer in style_layers(STYLE_LAYERS)))
        return ProjectStyle.execute(features, self.projector).result[0]

    def ours(self, styles: int, contents: int, pixels: int) -> Case:
        """Wire the pack's nodes."""
        from comfyui_uso.nodes.apply import Apply
        from comfyui_uso.nodes.sockets import Content

        style = self.style(styles)
        content = Content(latents=tuple(self.latents[:contents]))
        model, positive, _ = Apply.execute(self.model, self.prompt, None, style, content).result
        return Case(model, positive, pixels)

    def core(self, styles: int, contents: int, pixels: int) -> Case:
        """Wire ComfyUI's own nodes."""
        from comfy_extras.nodes_edit_model import ReferenceLatent
        from comfy_extras.nodes_flux import FluxKontextMultiReferenceLatentMethod
        from comfy_extras.nodes_model_patch import USOStyleReference

        model, positive = self.model, self.prompt
        for states in self.seen[:styles]:
            seen = SimpleNamespace(all_hidden_states=states, penultimate_hidden_states=states[:, -2])
            (model,) = USOStyleReference().apply_patch(model, self.projector, seen)
        for latent in self.latents[:contents]:
            positive = ReferenceLatent.execute(positive, {"samples": latent}).result[0]
        if contents:
            positive = FluxKontextMultiReferenceLatentMethod.execute(positive, "uxo/uno").result[0]
        return Case(model, positive, pixels)


def sampled(case: Case, steps: int = 1) -> torch.Tensor:
    """Run Euler steps through ComfyUI's sampler and return the latent."""
    import comfy.sample

    side = case.pixels // 8
    empty = torch.zeros(1, 16, side, side)
    noise = torch.randn(empty.shape, generator=torch.Generator().manual_seed(1))
    return comfy.sample.sample(
        case.model, noise, steps, 1.0, "euler", "simple", case.positive, [], empty, disable_pbar=True
    )


def seconds(case: Case) -> Seconds:
    """Return the time of one step, without loading and without what is done once per picture."""
    from comfy.patcher_extension import WrappersMP

    taken: list[Seconds] = []

    def timed(executor: Any, *args: Any, **kwargs: Any) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        result = executor(*args, **kwargs)
        taken.append(Seconds(time.perf_counter() - wall, time.process_time() - cpu))
        return result

    gc.collect()
    model = case.model.clone()
    model.add_wrapper_with_key(WrappersMP.PREDICT_NOISE, "benchmark", timed)
    sampled(case._replace(model=model))
    return taken[0]


def peak_mb(case: Case, steps: int = 1) -> float:
    """Return the most memory that sampling has allocated at a time, beyond what was there before."""
    gc.collect()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        sampled(case, steps)
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    now = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    return peak / 2**20
