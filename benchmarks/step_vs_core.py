"""Time one denoising step with references: the pack's nodes against ComfyUI's own USO nodes.

    python benchmarks/step_vs_core.py [--width 256] [--pairs 9] [--json]

Runs ComfyUI on the CPU inside this process ($COMFYUI_PATH, else ~/comfy/ComfyUI), with random weights and
FLUX.1's real token counts: 1024x1024 pixels are 4096 image tokens, a content picture 1024, a style picture 192,
the text 512. Printed are the time of a step and its peak memory, ours over ComfyUI's (median of alternating
pairs; on a busy machine the processor time is the steadier of the two times), and what references cost
relative to a step without any, as ComfyUI has it. Narrow networks spend more of their time in attention than
FLUX.1 does, so the costs are larger here than at full width (--width 3072).
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import sys
import time
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch.profiler import ProfilerActivity, profile

STYLE_LAYERS, STYLE_TOKENS, STYLE_WIDTH = 27, 729, 1152
TEXT_TOKENS, TEXT_WIDTH, POOLED_WIDTH = 512, 64, 32
HEAD, CONTENT_PIXELS = 128, 512
MIXES = {  # name: (styles, contents)
    "none": (0, 0),
    "1 style": (1, 0),
    "1 content": (0, 1),
    "1 style + 1 content": (1, 1),
    "2 styles + 3 contents": (2, 3),
}
SIZES = (1024, 512)


class Case(NamedTuple):
    """A graph that is ready to sample."""

    model: Any
    positive: Any
    pixels: int


class Seconds(NamedTuple):
    """Time of one step, by the clock and summed over the processors."""

    wall: float
    cpu: float


class Megabytes(NamedTuple):
    """Memory of sampling: allocated by a step at its peak, and held by the references while it runs."""

    step: float
    held: float


class Measured(NamedTuple):
    """Medians of the pairs."""

    wall_ratio: float
    cpu_ratio: float
    ours: Seconds
    core: Seconds
    ours_memory: Megabytes
    core_memory: Megabytes


def main() -> None:
    """Measure and print."""
    args = arguments()
    start_comfy()
    with torch.inference_mode():
        bench = Bench(args.width, args.double_blocks, args.single_blocks)
        step = bench.pairs(args.pairs)
        costs = {size: bench.costs(size, args.repeats) for size in SIZES}
    memory_ratio = sum(step.ours_memory) / sum(step.core_memory)
    threads = torch.get_num_threads()
    if args.json:
        report = {
            "width": args.width,
            "blocks": [args.double_blocks, args.single_blocks],
            "threads": threads,
            "pairs": args.pairs,
            "time_ratio": step.wall_ratio,
            "cpu_time_ratio": step.cpu_ratio,
            "memory_ratio": memory_ratio,
            "seconds": {"ours": step.ours._asdict(), "core": step.core._asdict()},
            "megabytes": {"ours": step.ours_memory._asdict(), "core": step.core_memory._asdict()},
            "references_cost": {str(size): cost for size, cost in costs.items()},
        }
        print(json.dumps(report))
        return
    print(f"width {args.width}, {args.double_blocks}+{args.single_blocks} blocks, {threads} threads")
    print("one step, 1024x1024, 1 style + 1 content, ours / core:")
    print(f"  time      {step.wall_ratio:.3f}   ({step.ours.wall:.3f} s, {step.core.wall:.3f} s)")
    print(f"  cpu time  {step.cpu_ratio:.3f}   ({step.ours.cpu:.3f} s, {step.core.cpu:.3f} s)")
    for name, memory in (("ours", step.ours_memory), ("core", step.core_memory)):
        print(f"  memory    {name}: {memory.step:.1f} MB in the step + {memory.held:.1f} MB of references")
    print(f"  memory    {memory_ratio:.3f}")
    print("cost of references in ComfyUI, relative to none:")
    for name in MIXES:
        print(f"  {name:24s}" + "".join(f"{size:>7d} px {costs[size][name]:5.2f}x" for size in SIZES))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=256, help="hidden size, a multiple of 128")
    parser.add_argument("--double-blocks", type=int, default=1)
    parser.add_argument("--single-blocks", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=9, help="alternating pairs of steps")
    parser.add_argument("--repeats", type=int, default=3, help="steps per row of the reference costs")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


def start_comfy() -> None:
    """Import ComfyUI into this process, which is started anew with ComfyUI's folder among the import paths."""
    folder = Path(os.environ.get("COMFYUI_PATH") or "~/comfy/ComfyUI").expanduser()
    if not (folder / "main.py").is_file():
        sys.exit(f"no ComfyUI in {folder}: set COMFYUI_PATH to a checkout")
    if find_spec("comfy") is None:  # ComfyUI is no installed package
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "PYTHONPATH": str(folder)})
    sys.argv = ["comfyui", "--cpu"]  # ComfyUI reads the command line when imported
    import comfy.options

    comfy.options.enable_args_parsing()
    import comfy.cli_args


class Bench:
    """One random FLUX and projector, and the graphs over them."""

    def __init__(self, width: int, double_blocks: int, single_blocks: int):
        import comfy.model_patcher
        import comfy.ops
        import comfy.supported_models
        from comfy_extras.nodes_model_patch import SigLIPMultiFeatProjModel

        cpu = torch.device("cpu")
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
        config.set_inference_dtype(torch.float32, None)
        config.unet_config["dtype"] = torch.float32
        flux = config.get_model({})
        projector = SigLIPMultiFeatProjModel(hidden_size=width, operations=comfy.ops.manual_cast)
        self.generator = torch.Generator().manual_seed(0)
        for parameter in (*flux.diffusion_model.parameters(), *projector.parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=self.generator) * 0.02)
        self.model = comfy.model_patcher.CoreModelPatcher(flux, cpu, cpu)
        self.projector = comfy.model_patcher.CoreModelPatcher(projector, cpu, cpu)
        noise = partial(torch.randn, generator=self.generator)
        self.seen = [noise(1, STYLE_LAYERS, STYLE_TOKENS, STYLE_WIDTH) for _ in range(2)]
        self.latents = [noise(1, 16, CONTENT_PIXELS // 8, CONTENT_PIXELS // 8) for _ in range(3)]
        pooled = {"pooled_output": noise(1, POOLED_WIDTH), "guidance": 4.0}
        self.prompt = [[noise(1, TEXT_TOKENS, TEXT_WIDTH), pooled]]

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

    def pairs(self, count: int) -> Measured:
        """Alternate steps of ours and core's, in either order, after one of each to warm up."""
        ours, core = self.ours(1, 1, SIZES[0]), self.core(1, 1, SIZES[0])
        gap = (sampled(ours) - sampled(core)).abs().max().item()
        if gap > 1e-5:
            sys.exit(f"ours and core's differ by {gap:.1e}: not the same work, nothing to compare")
        times: list[tuple[Seconds, Seconds]] = []
        for n in range(count):
            first, second = (ours, core) if n % 2 == 0 else (core, ours)
            pair = (seconds(first), seconds(second))
            times.append(pair if n % 2 == 0 else pair[::-1])
        by_side = [Seconds(*map(statistics.median, zip(*side, strict=True))) for side in zip(*times, strict=True)]
        return Measured(
            statistics.median(a.wall / b.wall for a, b in times),
            statistics.median(a.cpu / b.cpu for a, b in times),
            *by_side,
            Megabytes(peak_mb(ours), held_mb(ours)),
            Megabytes(peak_mb(core), held_mb(core)),
        )

    def costs(self, pixels: int, repeats: int) -> dict[str, float]:
        """Return the time of a step with each mix of references over one without, through core's nodes."""
        cases = {name: self.core(*mix, pixels) for name, mix in MIXES.items()}
        sampled(cases["none"])
        times: dict[str, list[float]] = {name: [] for name in cases}
        for _ in range(repeats):
            for name, case in cases.items():
                times[name].append(seconds(case).wall)
        bare = statistics.median(times["none"])
        return {name: statistics.median(values) / bare for name, values in times.items()}


def sampled(case: Case) -> torch.Tensor:
    """Run one Euler step through ComfyUI's sampler and return the latent."""
    import comfy.sample

    side = case.pixels // 8
    empty = torch.zeros(1, 16, side, side)
    noise = torch.randn(empty.shape, generator=torch.Generator().manual_seed(1))
    return comfy.sample.sample(
        case.model, noise, 1, 1.0, "euler", "simple", case.positive, [], empty, disable_pbar=True
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


def held_mb(case: Case) -> float:
    """Return what style references keep in memory while sampling: tokens, or features and the projector."""
    patches = case.model.model_options["transformer_options"].get("patches", {}).get("post_input", [])
    core = [patch for patch in patches if hasattr(patch, "encoded_image")]
    held = sum(patch.encoded_image.nbytes for patch in core)
    held += sum(model.model_size() for model in {model for patch in core for model in patch.models()})
    held += sum(values["uso_style"].nbytes for _, values in case.positive if "uso_style" in values)
    return held / 2**20


def peak_mb(case: Case) -> float:
    """Return the most memory that one sampling step has allocated at a time, beyond what was there before."""
    gc.collect()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        sampled(case)
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    now = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    return peak / 2**20


if __name__ == "__main__":
    main()
