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

import json
import statistics
import sys
from typing import NamedTuple

import torch
from comfy_step import SIZES, Bench, Case, Seconds, arguments, peak_mb, sampled, seconds, start_comfy

MIXES = {  # name: (styles, contents)
    "none": (0, 0),
    "1 style": (1, 0),
    "1 content": (0, 1),
    "1 style + 1 content": (1, 1),
    "2 styles + 3 contents": (2, 3),
}


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
    args = arguments(__doc__.splitlines()[0])
    start_comfy()
    with torch.inference_mode():
        bench = Bench(args.width, args.double_blocks, args.single_blocks)
        step = compared(bench, args.pairs)
        cost = {size: costs(bench, size, args.repeats) for size in SIZES}
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
            "references_cost": {str(size): mixes for size, mixes in cost.items()},
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
        print(f"  {name:24s}" + "".join(f"{size:>7d} px {cost[size][name]:5.2f}x" for size in SIZES))


def compared(bench: Bench, count: int) -> Measured:
    """Alternate steps of ours and core's, in either order, after one of each to warm up."""
    ours, core = bench.ours(1, 1, SIZES[0]), bench.core(1, 1, SIZES[0])
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


def costs(bench: Bench, pixels: int, repeats: int) -> dict[str, float]:
    """Return the time of a step with each mix of references over one without, through core's nodes."""
    cases = {name: bench.core(*mix, pixels) for name, mix in MIXES.items()}
    sampled(cases["none"])
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(repeats):
        for name, case in cases.items():
            times[name].append(seconds(case).wall)
    bare = statistics.median(times["none"])
    return {name: statistics.median(values) / bare for name, values in times.items()}


def held_mb(case: Case) -> float:
    """Return what style references keep in memory while sampling: tokens, or features and the projector."""
    patches = case.model.model_options["transformer_options"].get("patches", {}).get("post_input", [])
    core = [patch for patch in patches if hasattr(patch, "encoded_image")]
    held = sum(patch.encoded_image.nbytes for patch in core)
    held += sum(model.model_size() for model in {model for patch in core for model in patch.models()})
    held += sum(values["uso_style"].nbytes for _, values in case.positive if "uso_style" in values)
    return held / 2**20


if __name__ == "__main__":
    main()
