"""Likeness without weights: layout, edges, strokes and colours of a reference beside the target's."""

from __future__ import annotations

from collections.abc import Sequence

from ..pictures import Pictures
from ..steps import MEASURES, TARGET, Result, StepPlan, Task

__all__ = ["Measures"]

_SIDE = 64
"""Pixels at which colours are compared place by place."""


class Measures:
    """Measures the references of a row by `uso_model.judging.likeness` and by their colours."""

    def __init__(self, references: Sequence[str]):
        """Take the names of the references that a row has."""
        scores = tuple(
            f"{score}_{name}" for name in references for score in ("layout", "structure", "strokes", "change")
        )
        self.plan = StepPlan(
            MEASURES, (TARGET, *references), settings={"version": 1}, workers=2, scores=scores, waits=True
        )

    def __call__(self, task: Task, pictures: Pictures) -> Result:
        """Do it; see `Step`."""
        import torch
        import torch.nn.functional as F

        from ....uso_model.images import picture_tensor
        from ....uso_model.judging.lab import delta_e, lab
        from ....uso_model.judging.likeness import layout_likeness, structure_likeness, style_likeness

        with torch.inference_mode():
            seen = {name: picture_tensor(task.open(pictures, name)) for name in self.plan.needs}
            small = {name: F.interpolate(pixels, (_SIDE, _SIDE), mode="area") for name, pixels in seen.items()}
            values: dict[str, torch.Tensor] = {}
            for name in self.plan.needs[1:]:
                values |= {
                    f"layout_{name}": layout_likeness(seen[TARGET], seen[name]),
                    f"structure_{name}": structure_likeness(seen[TARGET], seen[name]),
                    f"strokes_{name}": style_likeness(seen[TARGET], seen[name]),
                    f"change_{name}": delta_e(lab(small[TARGET]), lab(small[name])).mean(),
                }
        return Result(values={name: round(value.item(), 5) for name, value in values.items()})
