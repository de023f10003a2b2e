"""What is drawn: rows as they are, of different targets, and prompts of one's own."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from comfyui_uso.trainer.data.manifest import read_manifest, write_manifest
from comfyui_uso.trainer.monitor.places import places_text
from comfyui_uso.trainer.monitor.prompts import require_references, shown_prompts, shown_rows
from comfyui_uso.trainer.recipe_files import make_recipe
from comfyui_uso.trainer.settings.monitor import MonitorConfig, PromptConfig
from comfyui_uso.trainer.train import encode, train, training_data
from comfyui_uso.uso_model.errors import UserError


def test_rows_of_different_targets_come_first(recipe, tiny_encoders, manifest):
    rows = read_manifest(manifest)
    pairs = [row.model_copy(update={"id": f"{row.id}-{n}"}) for row in rows[:3] for n in range(4)]
    write_manifest(pairs, manifest)
    data = training_data(recipe(), tiny_encoders)
    assert [one.name for one in shown_rows(data, 3)] == ["0-0", "1-0", "2-0"]
    assert [one.name for one in shown_rows(data, 5)] == ["0-0", "1-0", "2-0", "0-1", "0-2"]


def test_the_pictures_shown_are_those_that_were_fed(recipe, tiny_encoders, manifest):
    rows = read_manifest(manifest)
    everything = [row.style[0] for row in rows]
    write_manifest([row.model_copy(update={"style": everything}) for row in rows], manifest)
    data = training_data(recipe(data={"styles": 2}), tiny_encoders)
    for one in shown_rows(data, 8):
        fed = [level.high for level in one.sample.styles]
        said = [data._features(path).high for path in one.sample.style_paths]
        assert len(fed) == 2 and all(map(torch.equal, fed, said))


def test_rows_that_are_looked_at_are_neither_mirrored_nor_without_their_prompt(recipe, tiny_encoders):
    spoiled = {"text_dropout": 1.0, "pooled_shuffle": 1.0, "flip": 1.0}
    as_they_are = [one.sample for one in shown_rows(training_data(recipe(), tiny_encoders), 4)]
    looked_at = [one.sample for one in shown_rows(training_data(recipe(data=spoiled), tiny_encoders).plain(), 4)]
    for one, other in zip(as_they_are, looked_at, strict=True):
        assert torch.equal(one.latent, other.latent) and torch.equal(one.txt, other.txt)
        assert torch.equal(one.vec, other.vec) and torch.equal(one.contents[0], other.contents[0])


def test_prompts_are_written_in_short_and_in_long():
    found = MonitorConfig.model_validate(
        {"prompts": ["a cat", {"prompt": "a dog", "style": "s.png", "content": ["a.png", "b.png"], "size": 512}]}
    ).prompts
    assert found[0] == PromptConfig(prompt="a cat") and found[0].style == [] and found[0].size is None
    assert [path.name for path in [*found[1].style, *found[1].content]] == ["s.png", "a.png", "b.png"]
    assert found[1].size == (512, 512) and found[1].seed == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [({"size": 100}, "multiple of 16"), ({"size": [64, 64, 64]}, "size"), ({"negative": "x"}, "negative")],
)
def test_wrong_prompts_are_one_sentence(change, message, recipe):
    values = recipe().model_dump()
    with pytest.raises(UserError, match=message):
        make_recipe({**values, "monitor": {"samples_every": 1, "prompts": [{"prompt": "a", **change}]}})


def test_prompts_are_read_from_the_command_line(recipe):
    text = "monitor.prompts=[a cat, {prompt: a dog, style: 'my style #1.png', size: [64, 32]}]"
    found = make_recipe(recipe().model_dump(), {}, [text]).monitor.prompts
    assert [one.prompt for one in found] == ["a cat", "a dog"]
    assert found[1].style[0].name == "my style #1.png" and found[1].size == (64, 32)


def test_prompts_are_encoded_with_everything_else_and_kept(recipe, tiny_encoders, tmp_path):
    asked = {"prompt": "mine", "style": tmp_path / "3s.png", "content": [tmp_path / "5c.png"] * 2, "size": [48, 32]}
    config = recipe(monitor={"samples_every": 1, "prompts": [asked]})
    data = training_data(config, tiny_encoders)
    encode(data)
    assert all(entry.is_file() for entry in data.entries())

    def late(what):
        raise AssertionError("the encoders are released by now")

    blind = replace(tiny_encoders, text=late, style=late, latent=late)
    (found,) = shown_prompts(training_data(config, blind), config.monitor)
    assert found.sample.latent.shape == (16, 4, 6) and len(found.sample.contents) == 2
    assert torch.equal(found.sample.txt, tiny_encoders.text("mine")[0].bfloat16().float())
    assert [path.name for path in found.sample.style_paths] == ["3s.png"] and found.target is None


def test_a_reference_that_is_not_there_is_said_before_anything_is_encoded(tmp_path):
    settings = MonitorConfig(samples_every=5, prompts=[PromptConfig(style=[tmp_path / "no.png"])])
    with pytest.raises(UserError, match=r"no\.png is not there; correct monitor\.prompts\[0\], or take it out"):
        require_references(settings)
    require_references(settings.model_copy(update={"samples_every": 0}))


def test_a_run_draws_prompts_and_says_where_everything_goes(recipe, tiny_encoders, tmp_path, caplog):
    caplog.set_level("INFO")
    asked = {"prompt": "my cat", "style": tmp_path / "3s.png", "size": 48, "seed": 9}
    config = recipe(monitor={"samples_every": 4, "samples": 0, "sample_steps": 1, "prompts": [asked, "a dog"]})
    train(config, tiny_encoders)
    folder = config.loop.run_dir / "samples"
    assert sorted(path.name for path in (folder / "step-0000004").iterdir()) == ["01-my-cat.png", "02-a-dog.png"]
    assert (folder / "step-0000004.png").is_file()
    assert f"run folder     {config.loop.run_dir}" in caplog.text and f"trained files  {config.out}" in caplog.text
    assert f"pictures       {folder}, every 4 steps" in caplog.text and "tensorboard" not in places_text(config)


def test_the_command_for_tensorboard_is_quoted(recipe, tmp_path):
    config = recipe(loop={"run_dir": tmp_path / "my style #1", "loggers": ["tensorboard"]})
    assert f"tensorboard --logdir '{tmp_path / 'my style #1'}'" in places_text(config)
