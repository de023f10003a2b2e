"""Captions of pictures by a vision language model, with the same care as its scores."""

from __future__ import annotations

from typing import Any

from PIL import Image

from ..recipe import VlmSettings
from ..steps import Result
from .vlm_answers import caption_schema, read_caption
from .vlm_asking import FIRST_PATIENCE, Account, Asking, Unjudged
from .vlm_model import Turn, Vlm
from .vlm_open import open_vlm
from .vlm_pictures import as_sent, sent_settings
from .vlm_rounds import read_prompts
from .vlm_streak import Streak

__all__ = ["Captioner"]


class Captioner:
    """Says in one sentence what a picture shows, and nothing of its style."""

    def __init__(self, settings: VlmSettings, vlm: Vlm | None = None):
        """Take the model of these settings, or one that is open.

        Raises:
            UserError: there is no such model.
        """
        self._vlm = open_vlm(settings) if vlm is None else vlm
        _, prompts = read_prompts()
        self._settings, self._prompt = settings, prompts["caption"]
        self._asking = Asking(self._vlm, settings.tries, settings.patience, prompts["again"])
        self._streak = Streak(self._vlm.name)

    @property
    def workers(self) -> int:
        """Questions at once that make sense."""
        return self._vlm.workers

    def describe(self) -> dict[str, Any]:
        """Return all that decides a caption."""
        return {
            "vlm": self._vlm.describe(),
            "prompt": self._prompt,
            "pictures": sent_settings(self._settings.longest),
        }

    def check(self) -> None:
        """Look whether the model can be asked.

        Raises:
            UserError: it cannot.
        """
        self._asking.reached(self._vlm.check, min(FIRST_PATIENCE, self._settings.patience))

    def caption(self, picture: Image.Image) -> Result:
        """Return one line of printable text as `prompt`; `unjudged` where no try gave one that can be used.

        Raises:
            UserError: none can, until a person mends something.
        """
        turns, account = [Turn("user", self._prompt, [as_sent(picture, self._settings.longest)])], Account()
        try:
            text = self._asking.ask(turns, caption_schema(), read_caption, account, "caption")
        except Unjudged as error:
            self._streak.add(str(error))
            return Result(notes=account.notes(self._settings), state="unjudged", reason=f"no caption: {error}")
        self._streak.end()
        return Result(values={"prompt": text}, notes=account.notes(self._settings))
