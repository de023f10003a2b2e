"""The caption of shifted rows, where the source has none: a vision language model says what is shown."""

from __future__ import annotations

from ..judging.vlm_caption import Captioner
from ..pictures import Pictures
from ..recipe import CAPTIONER, VlmSettings
from ..steps import CAPTION, TARGET, Result, StepPlan, Task

__all__ = ["CaptionTarget"]


class CaptionTarget:
    """Says what the target shows and nothing of its style. Rows that keep the layout need no caption."""

    def __init__(self, settings: VlmSettings, captioner: Captioner | None = None):
        """Take the settings of the model, or one that is open.

        Raises:
            UserError: there is no such model.
        """
        self._captioner = Captioner(settings) if captioner is None else captioner
        self.plan = StepPlan(
            CAPTION,
            (TARGET,),
            ("about.prompt",),
            self._captioner.describe(),
            waits=True,
            by_layout={"shifted": (CAPTIONER, self._captioner.workers)},
        )

    def check(self) -> None:
        """Look whether the model can be asked; see `Checked`."""
        self._captioner.check()

    def __call__(self, task: Task, pictures: Pictures) -> Result:
        """Do it; see `Step`."""
        if task.row.about.get("prompt"):
            return Result()
        return self._captioner.caption(task.open(pictures, TARGET))
