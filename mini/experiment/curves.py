"""The plot of measured checkpoints: is the judge as pleased as the reward?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .statistics import interval

__all__ = ["plot_curves"]

SHOWN = {"likeness": "the reward's descriptor", "style": "style judge, top 1", "resemblance": "identity judge"}
"""Numbers that get a plot, and their titles."""


def plot_curves(curves: Sequence[dict[str, Any]], out: Path) -> None:
    """Draw the numbers of a run with the reward over its steps: means over the seeds, and their range."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows: dict[str, dict[int, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for point in curves:
        rows[point["row"]][point["step"]].append(point)
    figure, axes = pyplot.subplots(1, len(SHOWN), figsize=(4 * len(SHOWN) + 2, 3.2), layout="constrained")
    colours = matplotlib.color_sequences["tab20"]  # there are more rows than the ten that matplotlib turns through
    for axis, (number, title) in zip(axes, SHOWN.items(), strict=True):
        axis.set_prop_cycle(color=colours)
        for row, points in rows.items():
            steps = sorted(points)
            seeds = [[point[number] for point in points[step]] for step in steps]
            (line,) = axis.plot(steps, [interval(values).mean for values in seeds], marker=".", label=row)
            lowest, highest = [min(values) for values in seeds], [max(values) for values in seeds]
            axis.fill_between(steps, lowest, highest, color=line.get_color(), alpha=0.08, linewidth=0)
        axis.set(title=title, xlabel="steps of the last stage")
    figure.legend(*axes[-1].get_legend_handles_labels(), loc="outside right center", fontsize=7)
    figure.savefig(out, dpi=110)
    pyplot.close(figure)
