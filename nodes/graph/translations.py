"""Search words in other languages: they stand beside the translations, because the page reads them from the schema."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

__all__ = ["search_words"]

_LOCALES = Path(__file__).resolve().parents[2] / "locales"


def search_words(node_id: str) -> list[str]:
    """Return a node's search words in every language that the pack is translated into."""
    return [word for texts in _translations() for word in texts.get(node_id, {}).get("search_aliases", [])]


@lru_cache(maxsize=1)
def _translations() -> list[dict[str, dict[str, list[str]]]]:
    return [json.loads(file.read_text(encoding="utf-8")) for file in sorted(_LOCALES.glob("*/nodeDefs.json"))]
