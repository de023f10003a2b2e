"""Time what style and subject references cost over 25 whole steps: all of them, reused over steps, and none.

    python benchmarks/references.py [--rounds 3] [--adaptive REFRESHES] [--json FILE]

Runs ComfyUI in this process ($COMFYUI_PATH, else ~/comfy/ComfyUI), see `comfy_step.py`, with PyTorch's attention,
random weights, FLUX.1's width and its token counts at 512x512 and 1024x1024, for one style and one subject, and for two
styles and three subjects. On a CPU a double block and a single block are timed, in alternating order, and counted 19
and 38 times; what is not blocks is counted once. That takes half an hour on two quiet cores, and 6 GB. On a GPU the
whole network of 19 and 38 blocks is timed, in bfloat16 (26 GB); nobody has tried this yet.

Steps on which references are computed are counted by sampling a tiny network with the node, so the first one, the last
ones and the second one are in them. Printed are the time over that of no references, and the share of what references
cost that is left, (t - 1) / (t_full - 1), beside what follows of the blocks' multiplications alone: with D the width
and L the tokens of queries and keys, 24 D^2 L + 4 D L_q L_k for each block. A share cannot be lower than that where a
multiplication in attention takes as long as one in a linear layer.

Memory is measured with a narrow network of few blocks at 512x512, where what is needed for a moment counts for more
than at full depth: what sampling needs at its peak, over the peak without the node plus what is kept.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from block_times import DOUBLE, SINGLE, Clock, Step
from comfy_step import CONTENT_PIXELS, HEAD, SIZES, TEXT_TOKENS, Bench, Case, peak_mb, sampled, start_comfy

MIXES = {"1 + 1": (1, 1), "2 + 3": (2, 3)}
"""Styles and subjects."""
EVERY = (2, 3, 5)
STEPS, WIDTH = 25, 3072
STYLE = 192
PATCH = 16
"""Pixels along a side of an image token."""
NARROW = (2, 4)
"""Double and single blocks of the network whose memory is measured."""
RUN = 3
"""Steps that show everything: references are computed, computed a second time, and read."""


def main() -> None:
    """Measure and print."""
    args = arguments()
    start_comfy("--use-pytorch-cross-attention", *([] if torch.cuda.is_available() else ["--cpu"]))
    with torch.inference_mode():
        refreshes = {f"every {every}": count(every) for every in EVERY}
        refreshes |= {f"adaptive, {number:g} refreshes": number for number in args.adaptive}
        memory = {name: peak(*MIXES[name]) for name in args.mixes}
        bench = Bench(args.width, args.double_blocks, args.single_blocks, getattr(torch, args.dtype))
        clock = Clock(bench, args.processor_time)
        rounds = {size: measured(bench, clock, size, args) for size in args.sizes}
    times = {size: medians(found) for size, found in rounds.items()}
    report = {
        "width": args.width,
        "dtype": args.dtype,
        "threads": torch.get_num_threads(),
        "device": str(bench.device),
        "clock": "processor" if args.processor_time else "wall",
        "steps": STEPS,
        "refreshes": refreshes,
        "seconds": {
            size: {name: dict(step._asdict(), whole=step.whole) for name, step in found.items()}
            for size, found in times.items()
        },
        "settings": [row for size, found in rounds.items() for row in table(size, found, refreshes, args.width)],
        "memory": memory,
    }
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    show(report)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=WIDTH, help="hidden size, a multiple of 128")
    parser.add_argument("--double-blocks", type=int, default=DOUBLE if gpu else 1)
    parser.add_argument("--single-blocks", type=int, default=SINGLE if gpu else 1)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="bfloat16" if gpu else "float32")
    parser.add_argument("--rounds", type=int, default=3, help="of which medians and ranges are told")
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES[::-1])
    parser.add_argument("--mixes", choices=MIXES, nargs="*", default=list(MIXES))
    parser.add_argument("--adaptive", type=float, action="append", default=[], metavar="REFRESHES")
    parser.add_argument("--processor-time", action="store_true", help="steadier on a busy machine")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything to a file, too")
    return parser.parse_args()


def wired(bench: Bench, styles: int, contents: int, pixels: int) -> Case:
    """Return the graph with so many references, none through a projector."""
    from comfyui_uso.nodes.apply import Apply
    from comfyui_uso.nodes.sockets import Content, Style

    if not styles + contents:
        return Case(bench.model, bench.prompt, pixels)
    tokens = torch.randn(1, styles * STYLE, bench.width, generator=bench.generator)
    style = Style(tokens=tokens, counts=(STYLE,) * styles)
    content = Content(latents=tuple(bench.latents[:contents]))
    model, positive, _ = Apply.execute(bench.model, bench.prompt, None, style, content).result
    return Case(model, positive, pixels)


def unchanged(case: Case) -> Case:
    """Return the graph itself."""
    return case


def reusing(case: Case, every: int) -> Case:
    """Return a graph with references reused in the usual form."""
    from comfyui_uso.nodes.reuse import ReuseReferences

    return case._replace(model=ReuseReferences.execute(case.model, every, "corrected", 1, 0, 0.0).result[0])


def count(every: int) -> int:
    """Return on how many of the steps references are computed."""
    bench = Bench(HEAD, 1, 1)
    lengths: list[int] = []

    def note(q: Any, k: Any, v: Any, **_: Any) -> dict[str, Any]:
        lengths.append(q.shape[2])
        return {}

    case = reusing(wired(bench, 1, 0, 64), every)
    model = case.model.clone()
    model.set_model_attn1_patch(note)
    sampled(case._replace(model=model), STEPS)
    return sum(length == max(lengths) for length in lengths[::2])


def peak(styles: int, contents: int) -> dict[str, float]:
    """Return the peak of memory with references reused over what it is to be, in MB."""
    bench = Bench(HEAD, *NARROW)
    plain = wired(bench, styles, contents, SIZES[1])
    tokens = styles * STYLE + contents * (CONTENT_PIXELS // PATCH) ** 2
    kept = 2 * 2 * sum(NARROW) * tokens * HEAD * 4 / 2**20  # keys and values, at two refreshes, in four bytes
    before, found = peak_mb(plain), peak_mb(reusing(plain, RUN), RUN)
    return {"without": before, "kept": kept, "peak": found, "over_plan": found / (before + kept)}


def isolated(case: Case) -> Case:
    """Return a graph whose references see only themselves, by the mark of a LoRA that was trained so."""
    from comfyui_uso.uso_model.isolation import mark

    model = case.model.clone()
    outputs = model.model.diffusion_model.final_layer.linear.out_features
    model.add_patches({"diffusion_model.final_layer.linear.bias": ("diff", (mark(outputs),))})
    return case._replace(model=model)


def measured(bench: Bench, clock: Clock, pixels: int, args: argparse.Namespace) -> list[dict[str, Step]]:
    """Return for each round the times of a step without references, with them, and on all kinds of steps between.

    Each is measured between two steps without references and counted in those, because a machine's pace drifts by more
    than what is looked for; then all are given in seconds of the median of those. Every round takes the other order.
    """
    runs: list[tuple[str, Callable[[Case], Case], tuple[str, ...]]] = []
    for name in args.mixes:
        runs.append((name, unchanged, (f"{name} full",)))
        runs.append((name, partial(reusing, every=RUN), ("", f"{name} refresh", f"{name} replay")))
        runs.append((name, isolated, (f"{name} isolated, first", f"{name} isolated")))

    def sample(name: str, change: Callable[[Case], Case], count: int) -> list[Step]:
        return clock.sample(change(wired(bench, *MIXES.get(name, (0, 0)), pixels)), count)

    clock.sample(wired(bench, 0, 0, SIZES[1]), 1)  # warms up
    bare, paces = sample("", unchanged, 1), list[dict[str, Step]]()
    for number in range(args.rounds):
        paces.append({})
        for name, change, steps in runs[:: 1 if number % 2 == 0 else -1]:
            found = sample(name, change, len(steps))
            bare += sample("", unchanged, 1)
            pace = (bare[-2].whole + bare[-1].whole) / 2
            for step, one in zip(steps, found, strict=True):
                paces[-1][step] = Step(*(part / pace for part in one))
                sys.stderr.write(f"{pixels} {step or name}: {one.whole:.1f} s, bare {pace:.1f} s\n")
        paces[-1].pop("")  # the first refresh of all, which takes new memory
    whole = statistics.median(step.whole for step in bare)
    own = medians([{"bare": step} for step in bare])
    return [own | {name: Step(*(whole * part for part in step)) for name, step in found.items()} for found in paces]


def medians(rounds: list[dict[str, Step]]) -> dict[str, Step]:
    """Return the medians of some rounds."""
    return {
        name: Step(*map(statistics.median, zip(*(found[name] for found in rounds), strict=True))) for name in rounds[0]
    }


def table(pixels: int, rounds: list[dict[str, Step]], refreshes: dict[str, int], width: int) -> list[dict[str, Any]]:
    """Return time over that of no references, and the share that is left, of every setting: medians and ranges."""
    rows = []
    for name, (styles, contents) in MIXES.items():
        if f"{name} full" not in rounds[0]:
            continue
        own = TEXT_TOKENS + (pixels // PATCH) ** 2
        tokens = styles * STYLE + contents * (CONTENT_PIXELS // PATCH) ** 2
        none, all_of_them = work(width, own, own), work(width, own + tokens, own + tokens)
        least = (work(width, own, own + tokens) - none) / (all_of_them - none)
        for setting, number in {"every 1": STEPS, **refreshes, "isolated": 1}.items():
            times, shares = zip(*(cost(found, name, setting, number) for found in rounds), strict=True)
            part = number / STEPS
            rows.append(
                {
                    "pixels": pixels,
                    "mix": name,
                    "setting": setting,
                    "time": statistics.median(times),
                    "time_range": [min(times), max(times)],
                    "share": statistics.median(shares),
                    "share_range": [min(shares), max(shares)],
                    "least": part + (1 - part) * least,
                }
            )
    return rows


def cost(found: dict[str, Step], mix: str, setting: str, number: int) -> tuple[float, float]:
    """Return a setting's time over that of no references, and the share that is left, in one round."""
    kinds = {"isolated": ("isolated, first", "isolated"), "every 1": ("full", "full")}.get(
        setting, ("refresh", "replay")
    )
    bare, full = found["bare"].whole, found[f"{mix} full"].whole
    exact, reused = (found[f"{mix} {kind}"].whole for kind in kinds)
    time = (number * exact + (STEPS - number) * reused) / STEPS / bare
    return time, (time - 1) / (full / bare - 1)


def work(width: int, queries: int, keys: int) -> float:
    """Return multiplications and additions of a block."""
    return 24 * width**2 * queries + 4 * width * queries * keys


def show(report: dict[str, Any]) -> None:
    """Print the tables."""
    print(f"width {report['width']}, {report['dtype']}, {report['threads']} threads, {report['device']}")
    for size, found in report["seconds"].items():
        for name, step in found.items():
            parts = f"double {step['double']:.2f} s, single {step['single']:.2f} s, rest {step['rest']:.2f} s"
            print(f"{size} px  {name:14s} {step['whole']:7.1f} s a step   ({parts})")
    print("over 25 steps: time over that of no references, share of their cost that is left, by multiplications alone")
    for row in report["settings"]:
        time, share = (
            f"{row[name]:.3f} ({row[f'{name}_range'][0]:.3f} to {row[f'{name}_range'][1]:.3f})"
            for name in ("time", "share")
        )
        print(f"{row['pixels']:5d} px  {row['mix']}  {row['setting']:24s} {time}  {share}  {row['least']:.3f}")
    for name, found in report["memory"].items():
        print(f"memory  {name}  peak {found['peak']:.0f} MB over plan {found['over_plan']:.3f}")


if __name__ == "__main__":
    main()
