"""A disk that is full at any of a run's writers: what is needed ends it in one sentence, the rest only warns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from comfyui_uso.trainer.engine.checkpoint import latest
from comfyui_uso.trainer.recipe import TrainConfig
from comfyui_uso.trainer.train import train
from comfyui_uso.uso_model.checkpoints import files
from PIL import Image
from safetensors import SafetensorError


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Path], bool]], None]:
    """Return a function that lets every write fail to the files that a condition names."""

    def fill(hit: Callable[[Path], bool]) -> None:
        save_file, write_text, open_file, save = (
            files.safetensors.torch.save_file,
            Path.write_text,
            Path.open,
            Image.Image.save,
        )
        error = OSError(28, "No space left on device")

        def tensors(ready, path, *rest):
            if hit(Path(path)):
                raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
            return save_file(ready, path, *rest)

        def text(path, *rest, **named):
            if hit(path):
                raise error
            return write_text(path, *rest, **named)

        def opened(path, mode="r", *rest, **named):
            if ("w" in mode or "a" in mode) and hit(path):
                raise error
            return open_file(path, mode, *rest, **named)

        def picture(image, path, *rest, **named):
            if hit(Path(path)):
                raise error
            return save(image, path, *rest, **named)

        monkeypatch.setattr(files.safetensors.torch, "save_file", tensors)
        monkeypatch.setattr(Path, "write_text", text)
        monkeypatch.setattr(Path, "open", opened)
        monkeypatch.setattr(Image.Image, "save", picture)

    return fill


def within(name: str) -> Callable[[Path], bool]:
    return lambda path: any(part.startswith(name) for part in path.parts)


@pytest.mark.parametrize("place", ["checkpoint", "cache", "config"])
def test_what_a_run_needs_ends_it_in_one_sentence(
    place, full, recipe: Callable[..., TrainConfig], tiny_encoders, tmp_path
):
    config = recipe(out=None, loop={"steps": 2, "save_every": 1})
    hits = {
        "checkpoint": within(".checkpoint-0000002"),
        "cache": lambda path: (tmp_path / "cache") in path.parents,
        "config": lambda path: path.parent == config.loop.run_dir,
    }
    full(hits[place])
    with pytest.raises(OSError, match=r"^\S+ cannot be written \(.*\); make room on the disk$"):
        train(config, tiny_encoders)
    found = latest(config.loop.run_dir)
    assert (found is not None and found.step == 1) if place == "checkpoint" else found is None


@pytest.mark.parametrize("place", ["out", "samples", "log.jsonl", "rows.jsonl", "env.json"])
def test_what_is_made_beside_it_does_not(place, full, recipe, tiny_encoders, caplog):
    monitor = {"samples_every": 1, "samples": 1, "sample_steps": 1}
    config = recipe(out=None, monitor=monitor, loop={"steps": 2, "save_every": 1})
    train(config.model_copy(update={"loop": config.loop.model_copy(update={"steps": 1})}), tiny_encoders)
    full(within(place))
    assert train(config, tiny_encoders) == 2 and latest(config.loop.run_dir).step == 2
    if place in ("out", "samples", "log.jsonl"):
        assert "No space left on device" in caplog.text
