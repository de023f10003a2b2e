"""What a request holds: messages, options, and what is left out for servers that do not take all of them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from .vlm_model import Turn
from .vlm_refusal import Refusal

__all__ = ["MOST_TOKENS", "Form", "message_of", "weaker"]

MOST_TOKENS = 2048
"""Of an answer; a long one has some 600."""


@dataclass(frozen=True)
class Form:
    """How an answer is asked for."""

    format: Literal["json_schema", "json_object", ""] = "json_schema"
    limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """The name that the server has for it."""
    temperature: bool = True
    """Whether 0 is asked for; models that reason take none."""

    def options(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options of a request for JSON of a schema."""
        found: dict[str, Any] = {self.limit: MOST_TOKENS}
        if self.temperature:
            found["temperature"] = 0
        if self.format == "json_schema":
            named = {"name": "answer", "strict": True, "schema": dict(schema)}
            found["response_format"] = {"type": "json_schema", "json_schema": named}
        elif self.format:
            found["response_format"] = {"type": "json_object"}
        return found

    def told(self) -> str:
        """Return it for a person."""
        return (
            f"{self.format or 'no format'}, {self.limit}, {'temperature 0' if self.temperature else 'no temperature'}"
        )


def weaker(form: Form, refusal: Refusal) -> Form | None:
    """Return the next form to try after a refusal, None where the form is not to blame."""
    if refusal.status not in (400, 404, 415, 422, 500, 501):
        return None
    if refusal.names("max_completion_tokens") and form.limit == "max_tokens":
        return replace(form, limit="max_completion_tokens")
    if refusal.names("temperature") and form.temperature:
        return replace(form, temperature=False)
    blamed = refusal.names("response_format", "json_schema", "json_object", "schema", "grammar", "guided", "structured")
    unsaid = refusal.status in (400, 422) and not refusal.names("image", "vision", "multimodal", "picture", "context")
    if not form.format or not (blamed or unsaid):
        return None
    return replace(form, format="json_object" if form.format == "json_schema" else "")


def message_of(turn: Turn) -> dict[str, Any]:
    """Return a turn as the chat API has it, its pictures as data URLs in front of its text."""
    if not turn.pictures:
        return {"role": turn.role, "content": turn.text}
    parts: list[dict[str, Any]] = []
    for number, picture in enumerate(turn.pictures, start=1):
        address = f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"
        parts += [{"type": "text", "text": f"Picture {number}:"}, {"type": "image_url", "image_url": {"url": address}}]
    return {"role": turn.role, "content": [*parts, {"type": "text", "text": turn.text}]}
