"""Steps that are done once."""

from __future__ import annotations

from pathlib import Path

import pytest
from comfyui_uso.mini.once import once


def test_a_step_is_done_once_and_again_where_it_was_interrupted(tmp_path: Path) -> None:
    folder, calls = tmp_path / "new", []

    def make() -> None:
        calls.append(1)
        folder.mkdir(exist_ok=True)
        (folder / "out").write_text("half", encoding="utf-8")  # what a step leaves behind proves nothing
        if len(calls) < 3:
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            once(folder, "step", make)
    for _ in range(2):
        once(folder, "step", make)
    assert len(calls) == 3
    once(folder, "other", lambda: calls.append(1))
    assert len(calls) == 4


def test_a_mark_goes_with_its_folder(tmp_path: Path) -> None:
    calls: list[int] = []
    once(tmp_path / "a", "step", lambda: calls.append(1))
    (tmp_path / "a").rename(tmp_path / "b")
    once(tmp_path / "b", "step", lambda: calls.append(2))
    once(tmp_path / "a", "step", lambda: calls.append(3))
    assert calls == [1, 3]
