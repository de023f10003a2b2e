"""Cases as rows of a bench: each is drawn without references, with one of them, and with both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ...trainer.evaluate.bench import Row, Task
from ...trainer.evaluate.protocols.store import Store
from ..judges.networks import traits_of
from ..world import STYLES
from .cases import Case

__all__ = ["BATCH", "MODES", "rows_of"]

BATCH = 24
"""Rows that are drawn from one noise; a picture's own noise depends on its place among them."""

MODES = ("none", "style", "subject", "joint")
"""No reference; style reference and prompt; content reference; both. In the last two the prompt is empty where the
layout is preserved, and names the subject and its new place where it is shifted."""

TASK_OF: Mapping[tuple[str, str], Task] = {
    ("none", "preserved"): "control",
    ("none", "shifted"): "control",
    ("style", "preserved"): "style",
    ("style", "shifted"): "style",
    ("subject", "preserved"): "subject",
    ("subject", "shifted"): "subject",
    ("joint", "preserved"): "joint_kept",
    ("joint", "shifted"): "joint_shifted",
}
"""Task of each mode and layout."""


def rows_of(of: Sequence[Case], store: Store, modes: Sequence[str] = MODES) -> Iterator[Row]:
    """Yield a row for each mode and case; all are compared with both references, whichever is fed.

    Args:
        of: the cases.
        store: takes their pictures.
        modes: names of MODES.
    """
    parts = ("target", "style", "content", "stranger")
    source = "drawn by the procedural world of this pack"
    keys = [{part: store.add_picture(getattr(case, part), source, "Apache-2.0") for part in parts} for case in of]
    for mode in modes:
        for number, (case, pictures) in enumerate(zip(of, keys, strict=True)):
            triplet = case.triplet
            first = number // BATCH * BATCH
            prompt = _prompt(case, mode)
            yield Row(
                id=f"{mode}-{number:04d}",
                task=TASK_OF[mode, triplet.layout],
                prompt=prompt,
                prompt_id=prompt.rpartition(" on a ")[2] or "empty",
                style=pictures["style"] if mode in ("style", "joint") else None,
                content=pictures["content"] if mode in ("subject", "joint") else None,
                subject=triplet.target.subject,
                style_name=triplet.style.name,
                against_subject=[pictures["content"]],
                against_style=[pictures["style"]],
                target=pictures["target"],
                strangers=[pictures["stranger"]],
                group=f"{mode}-{first}",
                facts={
                    "mode": mode,
                    "layout": triplet.layout,
                    "noise": first,
                    "subject": {"traits": traits_of(triplet.target.individual)},
                    "style": {"name": STYLES.index(triplet.style.name), "shows": triplet.style_ref.subject},
                },
            )


def _prompt(case: Case, mode: str) -> str:
    if mode == "none":
        return ""
    return case.triplet.target.caption() if mode == "style" else case.triplet.prompt
