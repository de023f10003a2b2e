"""What a server of the chat API replies, taken apart with care: the text, the model's name, and what it cost."""

from __future__ import annotations

from typing import Any

from ....uso_model.errors import UserError
from ....uso_model.untrusted import parse_json, quoted
from .vlm_model import Answer, Unusable
from .vlm_refusal import words_of

__all__ = ["models_of", "read_reply"]

_MOST_TOKENS = 1 << 40


def read_reply(raw: str) -> Answer:
    """Return the answer in a reply.

    Raises:
        Unusable: there is none, or it is a refusal, cut short or empty.
    """
    try:
        told = parse_json(raw, "it")
    except UserError:
        raise Unusable("the server's answer is not JSON", raw) from None
    told = _object(told)
    if told.get("error"):
        raise Unusable(f"the server answers with a fault ({words_of(raw)})", raw)
    choices = told.get("choices")
    choice = _object(choices[0] if isinstance(choices, list) and choices else None)
    message, usage, model = _object(choice.get("message")), _object(told.get("usage")), told.get("model")
    answer = Answer(
        _content(message.get("content")),
        quoted(model) if isinstance(model, str) else "",
        _count(usage.get("prompt_tokens")),
        _count(usage.get("completion_tokens")),
    )
    if message.get("refusal"):
        raise Unusable(f"the model refuses ({quoted(message['refusal'])})", raw, answer=answer)
    if choice.get("finish_reason") == "content_filter":
        raise Unusable("the server's filter held the answer back", raw, answer=answer)
    if choice.get("finish_reason") == "length":
        raise Unusable("the answer was cut off: it is too long", raw, answer=answer)
    if not answer.text.strip():
        raise Unusable("the answer is empty", raw, answer=answer)
    return answer


def models_of(raw: str) -> list[str]:
    """Return the names in a list of models, none where it is no such list."""
    try:
        rows = _object(parse_json(raw, "it")).get("data")
    except UserError:
        return []
    found = [_object(row).get("id") for row in rows] if isinstance(rows, list) else []
    return [name for name in found if isinstance(name, str)]


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _content(content: Any) -> str:
    """Return the text of a message, which some servers send in parts."""
    if isinstance(content, list):
        texts = [_object(part).get("text") for part in content]
        return "".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else ""


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST_TOKENS else 0
