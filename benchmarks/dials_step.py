"""Time one denoising step with dials turned, over the same step without.

    python benchmarks/dials_step.py [--width 256] [--pairs 5] [--json]

Runs ComfyUI on the CPU inside this process, see `comfy_step.py`, at FLUX.1's token counts: 1024x1024 pixels with
one style and one content reference. Each dial is timed in alternating pairs with the plain graph; printed is the median
of the pairs' ratios, by the clock and by processor time.
"""

from __future__ import annotations

import json
import statistics
from typing import Any

import torch
from comfy_step import SIZES, Bench, Case, arguments, sampled, seconds, start_comfy


def main() -> None:
    """Measure and print."""
    args = arguments(__doc__.splitlines()[0])
    start_comfy()
    with torch.inference_mode():
        bench = Bench(args.width, args.double_blocks, args.single_blocks)
        half = torch.zeros(1, 128, 128)
        half[..., :64] = 1
        dials: dict[str, dict[str, Any]] = {
            "nothing": {},
            "one strength": {"style_strength": 0.5},
            "both strengths": {"style_strength": 0.5, "content_strength": 1.5},
            "both strengths, fast": {
                "style_strength": 0.5,
                "content_strength": 1.5,
                "style_form": "fast",
                "content_form": "fast",
            },
            "block weights": {"style_blocks": "d0:0.5"},
            "two regions": {"style_region": half, "content_region": half.flip(-1)},
        }
        plain = dialled(bench, {})
        sampled(plain)
        found = {name: ratios(dialled(bench, values), plain, args.pairs) for name, values in dials.items()}
    if args.json:
        print(json.dumps({name: {"time": wall, "cpu_time": cpu} for name, (wall, cpu) in found.items()}))
        return
    print(f"width {args.width}, {args.double_blocks}+{args.single_blocks} blocks, {torch.get_num_threads()} threads")
    print(f"one step, {SIZES[0]}x{SIZES[0]}, 1 style + 1 content, with the dial / without:")
    for name, (wall, cpu) in found.items():
        print(f"  {name:22s} time {wall:.3f}   cpu time {cpu:.3f}")


def dialled(bench: Bench, dials: dict[str, Any]) -> Case:
    """Return the benchmark's graph with one style and one content reference and dials."""
    from comfyui_uso.nodes.apply import Apply
    from comfyui_uso.nodes.sockets import Content

    style = bench.style(1)
    content = Content(latents=tuple(bench.latents[:1]))
    model, positive, _ = Apply.execute(bench.model, bench.prompt, None, style, content, **dials).result
    return Case(model, positive, SIZES[0])


def ratios(turned: Case, plain: Case, pairs: int) -> tuple[float, float]:
    """Return clock and processor time of a case over the plain one's, in either order, after one to warm up."""
    sampled(turned)
    times = []
    for number in range(pairs):
        first, second = (turned, plain) if number % 2 == 0 else (plain, turned)
        pair = (seconds(first), seconds(second))
        times.append(pair if number % 2 == 0 else pair[::-1])
    return statistics.median(a.wall / b.wall for a, b in times), statistics.median(a.cpu / b.cpu for a, b in times)


if __name__ == "__main__":
    main()
