"""A wrong setting is named with its place: the command line, or the file and the line in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from comfyui_uso.mini.stages import load_stage
from comfyui_uso.trainer.reading.recipe_files import RECIPES, load_recipe
from comfyui_uso.uso_model.errors import UserError

TOY = (RECIPES / "toy.yaml").read_text(encoding="utf-8")


def line_of(text: str, part: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if part in line)


def said(text: str, tmp_path: Path, *texts: str) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        load_recipe(path, texts=texts)
    return str(caught.value).replace(str(path), "mine.yaml")


@pytest.mark.parametrize(
    ("old", "new", "part", "words"),
    [
        ("steps: 40", "stepz: 40", "stepz", "loop.stepz is unknown, did you mean loop.steps? (line {})"),
        ("learning_rate:", "lr:", "lr:", "loop.lr is unknown; here it is loop.learning_rate (line {})"),
        ("size: 128", "resolution: 128", "resolution", "data.resolution is unknown; here it is data.size (line {})"),
        ("ema: 0.9", "ema: 2", "ema:", "loop.ema: Input should be less than 1, got 2 (line {})"),
        ("batch_size: 4", "batch_size: 4\n  micro_batch: 3", "loop:", "not a multiple of micro_batch 3 (line {})"),
        ("  base: fp32\n  checkpointing: false", "", "memory:", "memory: expected settings below it"),
        ("memory:", "memory:\n  stream_blocks: -1", "stream_blocks", "memory.blocks_to_swap: Input should be"),
        ("mode: one_of", "mode: [", "mode:", "mine.yaml is not YAML"),
    ],
)
def test_the_line_of_a_file(old: str, new: str, part: str, words: str, tmp_path: Path) -> None:
    text = TOY.replace(old, new, 1)
    message = said(text, tmp_path)
    assert message.startswith("mine.yaml") and words.format(line_of(text, part)) in message, message


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["lr=1e-4"], "lr is unknown; here it is loop.learning_rate"),
        (["loop.lr=1e-4"], "loop.lr is unknown; here it is loop.learning_rate"),
        (["resolution=512"], "resolution is unknown; here it is data.size"),
        (["steps=3"], "steps is unknown; here it is loop.steps"),
        (["output_name=[x"], "output_name is unknown; here it is name"),
        (["trigger_word=x"], "here it is `uso import --trigger`"),
        (["loop.micro_batch=3"], "batch_size 4 is not a multiple of micro_batch 3"),
        (["memory.base=fp8"], "memory.base fp8 needs loop.precision"),
        (["reward.steps=3"], "reward.start: Field required"),
        (["loop.steps=many"], "loop.steps=many"),
        (["steps"], "expected name=value"),
    ],
)
def test_the_command_line(texts: list[str], words: str, tmp_path: Path) -> None:
    message = said(TOY, tmp_path, *texts)
    assert message.startswith("the command line") and words in message and "mine.yaml" not in message, message


def test_both(tmp_path: Path) -> None:
    message = said(TOY.replace("rank: 16", "dim: 16"), tmp_path, "loop.betas=3")
    assert message.count("holds wrong settings") == 2 and "lora.rank (line" in message and "loop.betas" in message


def test_stages_of_other_settings_say_the_same() -> None:
    with pytest.raises(UserError, match=r"^the command line .*loop\.stepz is unknown, did you mean loop\.steps"):
        load_stage("encoders", texts=["loop.stepz=2"])
    with pytest.raises(UserError, match=r"lr is unknown; here it is loop\.learning_rate"):
        load_stage("encoders", texts=["lr=2"])
