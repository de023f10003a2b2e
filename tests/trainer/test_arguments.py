"""Arguments go in any order for every command, and a word that is none is answered with the one that was meant."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator

import pytest
from comfyui_uso import cli
from comfyui_uso.trainer.reading.other_trainers import NAMES
from comfyui_uso.trainer.reading.values import _names
from comfyui_uso.trainer.recipe import TrainConfig


def commands(parser: argparse.ArgumentParser, *words: str) -> Iterator[tuple[tuple[str, ...], argparse.ArgumentParser]]:
    """Yield every command with the words that call it."""
    inner = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not inner:
        yield words, parser
    for action in inner:
        for name, one in action.choices.items():
            yield from commands(one, *words, name)


COMMANDS = dict(commands(cli.build_parser()))


def example(action: argparse.Action) -> str:
    if action.choices:
        return str(next(iter(action.choices)))
    return "1" if action.type in (int, float) else "a=b"


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_options_go_before_between_and_after(words: tuple[str, ...]) -> None:
    actions = COMMANDS[words]._actions
    plain = [action for action in actions if not action.option_strings]
    options = [a for a in actions if a.option_strings and a.dest not in ("help", "rows", "seeds")]
    values = [[example(action)] for action in plain]
    if plain and plain[-1].nargs in ("*", "+"):
        values.append([example(plain[-1])])
    assert len(COMMANDS) >= 16 and any(option.dest == "debug" for option in options)
    for option in options:
        given = [option.option_strings[-1], *([] if option.nargs == 0 else [example(option)])]
        read = []
        for place in range(len(values) + 1):
            line = [*words, *itertools.chain(*values[:place], given, *values[place:])]
            required = [o for o in options if o.required and o is not option]
            line += [word for other in required for word in (other.option_strings[-1], example(other))]
            read.append(vars(cli.build_parser().parse_args(line)))
        assert all(one == read[0] for one in read), given
        for action, (value, *_) in zip(plain, values, strict=False):
            found = read[0][action.dest]
            assert value in map(str, found if isinstance(found, list) else [found])


def test_the_lines_of_the_messages() -> None:
    parse = cli.build_parser().parse_args
    assert parse(["train", "runs/d", "--allow-change", "loop.steps=2"]).settings == ["loop.steps=2"]
    assert parse(["cache", "toy", "--prune", "data.cache=x"]).settings == ["data.cache=x"]
    assert list(map(str, parse(["check", "a.jsonl", "--size", "128", "b.jsonl"]).what)) == ["a.jsonl", "b.jsonl"]
    assert parse(["doctor", "toy", "--debug"]).debug and parse(["--debug", "doctor", "toy"]).debug


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["train", "toy", "--lr", "1e-4"], "no option --lr; here it is loop.learning_rate"),
        (["train", "toy", "--network-dim=16"], "no option --network-dim; here it is lora.rank"),
        (["train", "toy", "--loop.steps", "5"], "no dashes and an equals sign: loop.steps=VALUE"),
        (["train", "toy", "--allow-chnage"], "did you mean --allow-change?"),
        (["mini", "train", "base", "--stps=3"], "there is no option --stps"),
        (["export", "a", "b"], "got 'b' too much"),
        (["train"], "required: recipe; see `uso train --help`"),
    ],
)
def test_what_is_none_is_one_line(words: list[str], answer: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(words)
    assert caught.value.code == 2
    err = capsys.readouterr().err
    assert answer in err and err.count("\n") == 1


def test_names_of_other_trainers_lead_to_settings_that_are_there() -> None:
    known = {"name", *_names(TrainConfig)}
    for name, here in NAMES.items():
        words = {word.strip(",") for word in here.split()}
        assert words & known or here.startswith("`uso "), f"{name}: {here}"
        assert name not in known, f"{name} is a setting of ours"
    asked = """lr learning_rate resolution network_dim network_alpha train_batch_size batch max_train_steps output_dir
    output_name save_every_n_steps gradient_accumulation_steps optimizer_type lr_scheduler mixed_precision seed
    caption_dropout_rate trigger_word sample_every sample_prompts""".split()  # noqa: SIM905 (a list of words)
    last = {name.rpartition(".")[2] for name in known}
    assert [name for name in asked if name not in NAMES and name not in last] == []
