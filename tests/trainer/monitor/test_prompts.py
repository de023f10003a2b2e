"""What is drawn: rows as they are, of different targets, and prompts of one's own."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from comfyui_uso.trainer.data.manifest import read_manifest, write_manifest
from comfyui_uso.trainer.monitor import places
from comfyui_uso.trainer.monitor.places import places_text
from comfyui_uso.trainer.monitor.prompts import require_references, shown_prompts, shown_rows
from comfyui_uso.trainer.reading.recipe_files import make_recipe
from comfyui_uso.trainer.run_folder import read_run
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


def test_the_largest_picture_counts_in_the_plan():
    assert MonitorConfig().most_pixels(64) == 64 * 64
    larger = MonitorConfig(prompts=[PromptConfig(), PromptConfig(size=(128, 96))])
    assert larger.most_pixels(64) == 128 * 96 and larger.most_pixels(512) == 512**2


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


def test_a_reference_that_is_not_there_is_said_before_anything_is_encoded(recipe, tmp_path):
    settings = MonitorConfig(samples_every=5, prompts=[PromptConfig(style=[tmp_path / "no.png"])])
    with pytest.raises(UserError, match=r"no\.png is not there; correct monitor\.prompts\[0\], or take it out"):
        require_references(settings)
    require_references(settings.model_copy(update={"samples_every": 0}))
    with pytest.raises(UserError, match=r"no\.png is not there"):
        train(recipe(monitor=settings.model_dump()), None)


def test_a_run_draws_prompts_and_says_where_everything_goes(recipe, tiny_encoders, tmp_path, caplog):
    caplog.set_level("INFO")
    asked = {"prompt": "my cat", "style": tmp_path / "3s.png", "size": 48, "seed": 9}
    config = recipe(monitor={"samples_every": 4, "samples": 0, "sample_steps": 1, "prompts": [asked, "a dog"]})
    train(config, tiny_encoders)
    folder = config.loop.run_dir / "samples"
    assert sorted(path.name for path in (folder / "step-0000004").iterdir()) == ["01-my-cat.png", "02-a-dog.png"]
    assert (folder / "step-0000004.png").is_file()
    assert f"run folder     {config.loop.run_dir}" in caplog.text and f"trained files  {config.out}" in caplog.text
    kept = read_run(config.loop.run_dir).monitor.prompts
    assert [one.style for one in kept] == [[tmp_path / "3s.png"], []] and kept[0].size == (48, 48)
    assert f"pictures       {folder}, every 4 steps" in caplog.text and "tensorboard" not in places_text(config)


@pytest.mark.parametrize("features", ["cached", "online"])
def test_files_that_go_in_the_middle_of_a_run_are_named_and_it_goes_on(
    features, recipe, tiny_encoders, tmp_path, caplog
):
    for number in range(8):
        (tmp_path / "masks").mkdir(exist_ok=True)
        (tmp_path / "masks" / f"{number}t.png").write_bytes((tmp_path / f"{number}t.png").read_bytes())
    asked = {"prompt": "my cat", "style": tmp_path / "3s.png"}
    monitor = {"samples_every": 2, "samples": 1, "sample_steps": 1, "validation_every": 2, "prompts": [asked]}
    config = recipe(monitor=monitor, data={"masks": tmp_path / "masks", "style_features": features})

    def decode(latents):
        for path in (*tmp_path.glob("*.png"), *(tmp_path / "masks").glob("*.png")):
            path.unlink()
        return tiny_encoders.decode(latents)

    assert train(config, replace(tiny_encoders, decode=decode)) == 4
    assert (config.loop.run_dir / "samples" / "step-0000004.png").is_file()
    masks = [line for line in caplog.messages if "its target counts whole" in line]
    assert masks and all("masks" in line and "t.png" in line for line in masks), caplog.text
    assert "3s.png is not there" in caplog.text and "cannot be shown or compared with" in caplog.text
    assert ("the row goes on without it" in caplog.text) == (features == "online")


def test_the_command_for_tensorboard_is_quoted(recipe, tmp_path):
    config = recipe(loop={"run_dir": tmp_path / "my style #1", "loggers": ["tensorboard"]})
    assert f"tensorboard --logdir '{tmp_path / 'my style #1'}'" in places_text(config)


def test_on_windows_it_is_quoted_as_windows_does(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(places, "os", SimpleNamespace(name="nt"))
    config = recipe(loop={"run_dir": tmp_path / "my style", "loggers": ["tensorboard"]})
    assert f'tensorboard --logdir "{tmp_path / "my style"}"' in places_text(config)


def test_a_stop_while_samples_are_drawn_takes_one_more_step_and_ends(recipe, tiny_encoders, caplog):
    caplog.set_level("INFO")
    config = recipe(monitor={"samples_every": 2, "samples": 4, "sample_steps": 1}, loop={"steps": 9, "save_every": 99})
    drawn = []

    def decode(latents):
        drawn.append(1)
        if len(drawn) == 5:  # the first of the second grid
            os.kill(os.getpid(), signal.SIGTERM)
        return tiny_encoders.decode(latents)

    assert train(config, replace(tiny_encoders, decode=decode)) == 3
    assert len(drawn) == 5 and "samples at step 2 is left out: the run is to stop" in caplog.text
    assert not (config.loop.run_dir / "samples" / "step-0000002.png").exists()
