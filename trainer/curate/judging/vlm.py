"""The step `vlm`: a vision language model scores target and style reference, and target and content reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..pictures import Pictures
from ..recipe import JUDGE, VlmSettings
from ..steps import CONTENT, STYLE, TARGET, VLM, Result, StepPlan, Task
from .vlm_answers import HIGHEST
from .vlm_asking import FIRST_PATIENCE, Account, Asking, Unjudged
from .vlm_model import Vlm
from .vlm_open import open_vlm
from .vlm_pictures import as_sent, sent_settings
from .vlm_rounds import PAIRS, read_prompts, scores_of
from .vlm_streak import Streak

__all__ = ["JudgeByVlm", "vlm_step"]

SHOWS = {"style": STYLE, "subject": CONTENT}
"""The step whose picture is compared with the target."""
FARTHEST = 1.0
"""Between the two orders of the pictures; more makes a pair unsure."""


class JudgeByVlm:
    """Asks three rounds about each pair, in both orders of its pictures."""

    def __init__(self, settings: VlmSettings, vlm: Vlm, drawn: Sequence[str], pause: float | None = None):
        """Take the model and the names of the steps that draw a reference."""
        self._pairs = [pair for pair in PAIRS if SHOWS[pair] in drawn]
        every, others = read_prompts()
        self._prompts = {pair: every[pair] for pair in self._pairs}
        self._hashes = {pair: prompts.digest() for pair, prompts in self._prompts.items()}
        self._settings, self._vlm = settings, vlm
        rests: dict[str, float] = {} if pause is None else {"pause": pause}
        self._asking = Asking(vlm, settings.tries, settings.patience, others["again"], **rests)
        self._streak = Streak(vlm.name)
        told = {
            "vlm": vlm.describe(),
            "prompts": self._hashes,
            "pictures": sent_settings(settings.longest),
            "scores": [0, HIGHEST],
        }
        self.plan = StepPlan(
            VLM,
            (TARGET, *(SHOWS[pair] for pair in self._pairs)),
            settings=told,
            expert=JUDGE,
            workers=vlm.workers,
            scores=tuple(name for pair in self._pairs for name in (f"vlm_{pair}", f"vlm_{pair}_unsure")),
            waits=True,
        )

    def check(self) -> None:
        """Look whether the model can be asked.

        Raises:
            UserError: it cannot.
        """
        self._asking.reached(self._vlm.check, min(FIRST_PATIENCE, self._settings.patience))

    def __call__(self, task: Task, pictures: Pictures) -> Result:
        """Do it; see `Step`."""
        longest = self._settings.longest
        target = as_sent(task.open(pictures, TARGET), longest)
        account, values = Account(), dict[str, Any]()
        parts: dict[str, list[Mapping[str, int]]] = {}
        try:
            for pair in self._pairs:
                other = as_sent(task.open(pictures, SHOWS[pair]), longest)
                parts[pair] = [
                    scores_of(shown, self._prompts[pair], self._asking, account, f"{pair}, order {order}")
                    for order, shown in enumerate(([target, other], [other, target]), start=1)
                ]
                values |= pair_values(pair, parts[pair])
        except Unjudged as error:
            self._streak.add(str(error))
            return Result(notes=self._notes(account, parts), state="unjudged", reason=f"vlm: {error}")
        self._streak.end()
        return Result(values=values, notes=self._notes(account, parts))

    def _notes(self, account: Account, parts: Mapping[str, Any]) -> dict[str, Any]:
        return account.notes(self._settings, parts=dict(parts), prompt_hashes=self._hashes)


def pair_values(pair: str, orders: Sequence[Mapping[str, int]]) -> dict[str, float]:
    """Return the scores of a pair: the mean of both orders' finals, each the mean of its parts, and if they disagree.

    Source: `score_final` of UNO-1M is the mean of `score_part` (data card of UNO-1M, bytedance/UNO).
    """
    finals = [sum(scores.values()) / len(scores) for scores in orders]
    return {
        f"vlm_{pair}": round(sum(finals) / len(finals), 4),
        f"vlm_{pair}_unsure": int(max(finals) - min(finals) > FARTHEST),
    }


def vlm_step(settings: VlmSettings, drawn: Sequence[str]) -> JudgeByVlm:
    """Return the step of these settings for a run that draws these references.

    Raises:
        UserError: there is no such model.
    """
    return JudgeByVlm(settings, open_vlm(settings), drawn)
