"""A vision language model in a folder, read by transformers and run in this process."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from safetensors import SafetensorError

from ....uso_model.errors import UserError
from ....uso_model.untrusted import named, quoted
from ....uso_model.writing import sha256_of
from ...cli import device
from ..recipe import VlmSettings
from .vlm_model import Answer, Turn, Unusable
from .vlm_request import MOST_TOKENS

__all__ = ["FolderVlm"]

_CURE = "download the model again, or set vlm.endpoint to a server that has it"
_UNFIT = (ValueError, TypeError, LookupError, AttributeError)
# What transformers raises on folders that it cannot use.
_UNUSABLE = (*_UNFIT, OSError, ArithmeticError, RuntimeError, ImportError, SafetensorError)
_DECIDES = (".json", ".jinja", ".model", ".txt", ".safetensors")
"""Endings of the files that a model is made of."""


class FolderVlm:
    """Answers one question at a time, with the likeliest words. It is given no schema, and checked all the same."""

    workers = 1

    def __init__(self, settings: VlmSettings):
        """Take the folder.

        Raises:
            UserError: it is none, or has no safetensors.
        """
        self._folder = Path(settings.model)
        self.name = f"the model in {named(self._folder)}"
        if not (self._folder / "config.json").is_file():
            raise UserError(
                f"vlm.model is {quoted(settings.model)!r} and vlm.endpoint is not set, expected a folder of a Hugging "
                "Face model; correct it, or set vlm.endpoint to the address of a server"
            )
        if not any(self._folder.glob("*.safetensors")):
            raise UserError(f"{named(self._folder)} has no .safetensors; {_CURE}")
        self._lock = threading.Lock()

    def describe(self) -> dict[str, Any]:
        """Return a hash of each file, so that the folder may move."""
        files = sorted(path for path in self._folder.iterdir() if path.suffix in _DECIDES and path.is_file())
        return {"files": {path.name: sha256_of(path)[:16] for path in files}, "most_tokens": MOST_TOKENS}

    def check(self) -> None:
        """Do nothing: the folder was looked at."""

    def ask(self, turns: Sequence[Turn], schema: Mapping[str, Any]) -> Answer:
        """Ask; see `Vlm`."""
        with self._lock:
            return self._answer([_message(turn) for turn in turns])

    def _answer(self, messages: list[dict[str, Any]]) -> Answer:
        import torch

        processor, model = self._loaded
        try:
            given = processor.apply_chat_template(
                messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
            ).to(model.device)
        except _UNUSABLE as error:
            raise UserError(f"{self.name} takes no conversation about pictures ({quoted(error)}); {_CURE}") from error
        length = given["input_ids"].shape[1]
        try:
            with torch.inference_mode():
                found = model.generate(**given, do_sample=False, max_new_tokens=MOST_TOKENS)[0, length:]
        except _UNFIT as error:
            raise UserError(f"{self.name} does not take the pictures ({quoted(error)}); {_CURE}") from error
        text = processor.decode(found, skip_special_tokens=True)
        answer = Answer(text, named(self._folder.name), length, len(found))
        if len(found) >= MOST_TOKENS:
            raise Unusable("the answer was cut off: it is too long", text, answer=answer)
        if not text.strip():
            raise Unusable("the answer is empty", text, answer=answer)
        return answer

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        from transformers import AutoModelForImageTextToText, AutoProcessor

        own = {"local_files_only": True, "trust_remote_code": False}
        try:
            processor = AutoProcessor.from_pretrained(self._folder, **own)
            loaded: Any = AutoModelForImageTextToText.from_pretrained(
                self._folder, use_safetensors=True, torch_dtype="auto", output_loading_info=True, **own
            )
            model, told = loaded
            model.eval().to(device())
        except _UNUSABLE as error:
            raise UserError(f"{self.name} cannot be loaded ({quoted(error)}); {_CURE}") from error
        if told["missing_keys"]:  # transformers puts noise in their place
            raise UserError(f"{self.name} lacks the weight {quoted(min(told['missing_keys']))}; {_CURE}")
        return processor, model


def _message(turn: Turn) -> dict[str, Any]:
    pictures = [
        {"type": "image", "image": Image.open(BytesIO(data), formats=("PNG", "JPEG")).convert("RGB")}
        for data in turn.pictures
    ]
    return {"role": turn.role, "content": [*pictures, {"type": "text", "text": turn.text}]}
