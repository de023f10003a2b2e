"""Overrides are values in the program and typed text on the command line: nothing is read twice, nothing is lost."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
import yaml
from comfyui_uso.trainer.curate.recipe import CurateConfig
from comfyui_uso.trainer.reading.recipe_files import RECIPES, load_recipe, make_recipe
from comfyui_uso.trainer.reading.values import load_config, typed
from comfyui_uso.trainer.recipe import RENAMED, TrainConfig
from comfyui_uso.trainer.settings.base import Settings
from comfyui_uso.uso_model.errors import UserError
from hypothesis import example, given
from hypothesis import strategies as st

TOY = RECIPES / "toy.yaml"


def toy(*texts: str) -> TrainConfig:
    return load_recipe(TOY, texts=texts)


NASTY = string.ascii_letters + string.digits + " #:;,'\"\\$~!@%^&*(){}<>|?=+-_.[]/\t\u00e9\u65e5"
paths = st.text(NASTY, min_size=1, max_size=40).filter(
    lambda text: text.strip().lower() not in ("", "none", "null", "~")
)


@given(paths)
@example("runs/toy #2")
@example("runs/toy: b")
@example("2026-11-29")
@example("C:\\runs\\new")
@example("~/$HOME")
@example("[not a list")
def test_any_path_survives_the_command_line_and_the_program(text: str) -> None:
    config = toy(f"loop.run_dir={text}", f"out={text}")
    assert config.loop.run_dir == config.out == Path(text)
    assert load_recipe(TOY, {"loop.run_dir": Path(text)}).loop.run_dir == Path(text)


@given(paths.filter(lambda text: not (text.strip().startswith("[") and text.strip().endswith("]"))))
def test_a_list_of_paths_takes_one_as_it_is(text: str) -> None:
    assert toy(f"data.manifests={text}").data.manifests == [Path(text)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("loop.optimizer_args.d0=0.5", lambda c: c.loop.optimizer_args == {"d0": 0.5}),
        ("loop.precision=no", lambda c: c.loop.precision == "no"),
        ("loop.precision=none", lambda c: c.loop.precision == "no"),
        ("loop.precision=bf16", lambda c: c.loop.precision == "bf16"),
        ("loop.ema=none", lambda c: c.loop.ema is None),
        ("loop.ema=0.5", lambda c: c.loop.ema == 0.5),
        ("loop.steps=007", lambda c: c.loop.steps == 7),
        ("loop.learning_rate=1e-4", lambda c: c.loop.learning_rate == 1e-4),
        ("loop.loggers=[]", lambda c: c.loop.loggers == ()),
        ("loop.loggers=wandb", lambda c: c.loop.loggers == ("wandb",)),
        ("conditions.style_levels=[high, low]", lambda c: c.conditions.style_levels == ["high", "low"]),
        ("data.manifests=[a.jsonl, b.jsonl]", lambda c: c.data.manifests == [Path("a.jsonl"), Path("b.jsonl")]),
        ("data.buckets=no", lambda c: c.data.buckets is False),
        ("train_projector=true", lambda c: c.train_projector is True),
        ("reward=none", lambda c: c.reward is None),
        ("reward={start: 3, size: 32}", lambda c: c.reward.start == 3),
        ("reward.start=3", lambda c: c.reward.start == 3),
        ("flow.guidance=[1.0, 5.0]", lambda c: c.flow.guidance == (1.0, 5.0)),
        ("models.size=nano", lambda c: c.models.size == "nano"),
    ],
)
def test_text_is_read_by_the_type_of_its_field(text, found):
    assert found(toy(text))


@pytest.mark.parametrize(
    "text",
    ["loop.steps=[1", "loop.steps={", "reward=*x", "reward={a: [}", "loop.steps=", "loop.steps=seven", "loop.betas=[1",
     "data.buckets=perhaps", "=3", "loop.steps", "loop.learning_rate=.inf", "loop.weight_decay=nan", "loop.seed=1e99",
     "loop.seed=99999999999999999999", "data.cache_memory=inf", "reward=!!python/object/apply:os.system [ls]",
     "reward=" + "[" * 5000, "loop.precision=fp64", "family=nowhere", "family=json:loads:x", "family=os.path:nothing"],
)  # fmt: skip
def test_what_cannot_be_read_is_one_sentence(text):
    with pytest.raises(UserError) as caught:
        toy(text)
    assert len(str(caught.value)) < 700


def test_yaml_without_quotes_means_what_its_writer_means(tmp_path):
    values = yaml.safe_load(TOY.read_text(encoding="utf-8"))
    path = tmp_path / "a.yaml"
    path.write_text(yaml.safe_dump(values).replace("loop:", "loop:\n  precision: no", 1), encoding="utf-8")
    assert load_recipe(path).loop.precision == "no"


OLD = {
    "loop.decay": ("cosine", lambda c: c.loop.schedule == "cosine"),
    "flow.time_law": ("logit_normal", lambda c: c.flow.timestep_sampling == "logit_normal"),
    "memory.stream_blocks": (2, lambda c: c.memory.blocks_to_swap == 2),
    "preserve": ({"weight": 2.0}, lambda c: c.prior_preservation.weight == 2.0),
}


@pytest.mark.parametrize("name", RENAMED)
def test_older_names_go_on_working_in_files_values_and_text(name):
    value, found = OLD[name]
    more = {"memory.checkpointing": True}
    assert found(load_recipe(TOY, {**more, name: value}))
    text = f"{name}={{weight: 2.0}}" if isinstance(value, dict) else f"{name}={value}"
    assert found(load_recipe(TOY, more, [text]))
    section, _, last = name.rpartition(".")
    values = yaml.safe_load(TOY.read_text(encoding="utf-8"))
    place = values.setdefault(section, {}) if section else values
    place[last] = value
    assert found(make_recipe(values, more))


def test_a_part_of_a_renamed_section_is_found_too():
    assert toy("preserve.weight=3").prior_preservation.weight == 3


def test_settings_of_other_classes_are_typed_alike(tmp_path):
    class Own(Settings):
        name: str
        count: int = 1

    path = tmp_path / "own.yaml"
    path.write_text("name: a\n", encoding="utf-8")
    assert load_config(Own, path, typed(Own, ["name=1 # 2", "count=3"])) == Own(name="1 # 2", count=3)


def test_settings_of_a_named_section_are_typed_by_its_fields() -> None:
    texts = ["experts.a.devices=[cpu, cuda:0]", "experts.a.settings={steps: 4}", "experts.a.settings.cfg=2"]
    texts += ["experts.a.settings.on=true", "experts.a.settings.deep.low=.5", "experts.a.settings.say=a: b # c"]
    texts += ["experts.a.settings.sizes=[1, 2]", "experts.a.settings.day=2026-11-29", 'experts.a.settings.text="3"']
    texts += ["experts.b={kind: command, workers: 2}", "judges.csd=none", "judges.dino=3", "reject.dull=a<3"]
    texts += ["experts.a.argv=x", "experts.b.graph=[not a list"]
    assert typed(CurateConfig, texts) == {
        "experts.a.devices": ["cpu", "cuda:0"],
        "experts.a.settings": {"steps": 4},
        "experts.a.settings.cfg": 2,
        "experts.a.settings.on": True,
        "experts.a.settings.deep.low": 0.5,
        "experts.a.settings.say": "a: b # c",
        "experts.a.settings.sizes": [1, 2],
        "experts.a.settings.day": "2026-11-29",
        "experts.a.settings.text": "3",
        "experts.b": {"kind": "command", "workers": 2},
        "judges.csd": None,
        "judges.dino": "3",
        "reject.dull": "a<3",
        "experts.a.argv": ["x"],
        "experts.b.graph": "[not a list",
    }
