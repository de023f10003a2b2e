"""Draw what reusing references saves and what it changes: error against time, beside the same time with fewer steps.

    python benchmarks/references_plot.py [--times FILE] [--errors FILE] [--out FILE]

Reads docs/data/references_time.json, which `references.py --json` writes, and docs/data/references_error.json, which
`references_error.py --json` writes; draws web/docs/reuse_references.png. Times are of FLUX.1's width with one style and
one subject, pictures are USO-mini's.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
MIX = "1 + 1"
CURVES = {"corrected": "o-", "linear": "^--", "hold": "s:", "adaptive": "D-.", "fewer steps instead": "x-"}
"""Marks and lines of what is drawn."""


class Point(NamedTuple):
    """One setting."""

    time: float
    """Over 25 steps without references."""
    psnr: float
    low: float
    high: float
    label: str


def main() -> None:
    """Draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=Path, default=ROOT / "docs/data/references_time.json")
    parser.add_argument("--errors", type=Path, default=ROOT / "docs/data/references_error.json")
    parser.add_argument("--out", type=Path, default=ROOT / "web/docs/reuse_references.png")
    args = parser.parse_args()
    makers = {args.times: "references.py", args.errors: "references_error.py error"}
    if absent := [path for path in makers if not path.is_file()]:
        commands = " and ".join(f"`python benchmarks/{makers[path]} --json {path}`" for path in absent)
        parser.error(f"got no {' and no '.join(map(str, absent))}, expected what {commands} writes: run it first")
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    times = json.loads(args.times.read_text(encoding="utf-8"))
    errors = json.loads(args.errors.read_text(encoding="utf-8"))
    sizes = times["seconds"]
    figure, (axes,) = pyplot.subplots(
        1, len(sizes), figsize=(5 * len(sizes), 3.8), sharey=True, squeeze=False, layout="constrained"
    )
    for axis, (size, seconds) in zip(axes, sizes.items(), strict=True):
        for name, points in curves(errors, seconds, times["steps"]).items():
            x, y = [point.time for point in points], [point.psnr for point in points]
            bounds = [[point.psnr - point.low for point in points], [point.high - point.psnr for point in points]]
            axis.errorbar(x, y, bounds, fmt=CURVES[name], label=name, capsize=2, linewidth=1, markersize=4)
            for point in points:
                axis.annotate(point.label, point[:2], (4, 4), textcoords="offset points", fontsize=7)
        full = seconds[f"{MIX} full"]["whole"] / seconds["bare"]["whole"]
        for at, words in ((1.0, "no references"), (full, "on every step")):
            axis.axvline(at, color="grey", linewidth=0.8, linestyle="--")
            axis.annotate(words, (at, 0.02), xycoords=("data", "axes fraction"), rotation=90, fontsize=7, color="grey")
        axis.set(title=f"{size} x {size}", xlabel="time over that of no references")
        axis.grid(alpha=0.2)
    axes[0].set_ylabel("PSNR to the exact pictures, dB")
    axes[-1].legend(loc="upper left", fontsize=8)
    figure.savefig(args.out, dpi=110)
    pyplot.close(figure)


def curves(errors: list[dict[str, Any]], seconds: dict[str, dict[str, float]], steps: int) -> dict[str, list[Point]]:
    """Return the curves' points, by time; settings that change the first or last steps are left out."""
    bare, full, refresh, replay = (
        seconds[name]["whole"] for name in ("bare", f"{MIX} full", f"{MIX} refresh", f"{MIX} replay")
    )
    found: dict[str, list[Point]] = {name: [] for name in CURVES}
    usual = errors[0]  # exact
    for row in errors:
        if "psnr" not in row or row["steps"] > steps or (row["first"], row["last"]) != (usual["first"], usual["last"]):
            continue
        if row["every"] == 1:
            name, label, spent = "fewer steps instead", str(row["steps"]), row["steps"] * full
        else:
            if row["tolerance"] and row["form"] != "corrected":
                continue
            name = "adaptive" if row["tolerance"] else row["form"]
            label = f"{row['tolerance']:g}" if row["tolerance"] else f"every {row['every']}"
            spent = row["refreshes"] * refresh + (steps - row["refreshes"]) * replay
        psnr = row["psnr"]
        found[name].append(Point(spent / (steps * bare), psnr["mean"], psnr["low"], psnr["high"], label))
    return {name: sorted(points) for name, points in found.items() if points}


if __name__ == "__main__":
    main()
