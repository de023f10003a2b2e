"""Expressions over scores: what they mean, what they refuse, and that nothing else comes of any text."""

from __future__ import annotations

import pytest
from comfyui_uso.trainer.curate.recipe import CurateConfig
from comfyui_uso.trainer.curate.where import Where, parse_where
from comfyui_uso.uso_model.errors import UserError
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ...machine import at_most

SCORES = {"csd": 0.7, "vlm_subject": 3.0, "layout": "shifted", "odd": float("nan")}


@pytest.mark.parametrize(
    "text, holds",
    [
        ("", True),
        ("csd>=.5 and vlm_subject>=3", True),
        ("csd >= .5 AND NOT vlm_subject < 3", True),
        ("csd<.5 or vlm_subject=3", True),
        ("csd<.5 or csd>.9 and csd>.6", False),
        ("not (csd<.5 or csd>.9)", True),
        (".5<csd", True),
        ("csd>=7e-1", True),
        ("csd>vlm_subject", False),
        ("layout='shifted' and layout!=\"preserved\"", True),
        ("layout>3", False),
        ("not layout>3", False),
        ("gone>1", False),
        ("not gone>1", False),
        ("gone!=1 or csd>0", True),
        ("odd>1", False),
        ("not odd>1", False),
        ("odd!=odd", False),
    ],
)
def test_means_what_it_says(text: str, holds: bool) -> None:
    assert parse_where(text).holds(SCORES) is holds


REFUSED = ["csd", "csd>=", ">=3", "csd>=.5 and", "(csd>=.5", "csd>=.5)", "csd>=.5 vlm>2", "1<csd<2", "csd=>1"]
REFUSED += ["csd>=0.5.5", "csd>=1e999", "csd>=-1e999", "csd>=.5; import os", "__import__('os')", "csd[0]>1", "csd>=+"]
REFUSED += ["csd.__class__('x')>1", "lambda: 1", "csd>=1_000", "csd >= 'a", "1>=3x", "and", "not", "()", "csd>=\u0665"]
REFUSED += ["\u00e9>1", "csd>\x001", "9" * 9000 + "x", "(" * 9000, "not " * 2400 + "csd>1", "csd>1 and " * 100_000]
REFUSED += ["((" * 40 + "csd>1" + "))" * 40]


@pytest.mark.parametrize("text", REFUSED, ids=range(len(REFUSED)))
def test_refuses_everything_else_at_once(text: str) -> None:
    with at_most(0.5), pytest.raises(UserError) as told:
        parse_where(text)
    assert len(str(told.value)) < 600 and "\n" not in str(told.value)


def test_refuses_scores_that_nothing_gives() -> None:
    where = parse_where("cds>=.5 and __import__>1")
    with pytest.raises(UserError, match=r"'__import__'.*the scores are csd, vlm_style"):
        where.check(["vlm_style", "csd"])
    with pytest.raises(UserError, match="did you mean csd"):
        parse_where("cds>=.5").check(["vlm_style", "csd"])
    parse_where("csd>=.5").check(["csd"])


PIECES = st.sampled_from(
    ["csd", "vlm_subject", "layout", "odd", "x", ">=", "<", "=", "!=", "and", "or", "not", "(", ")", "1", ".5", "-2e3"]
    + ["'shifted'", '"', "'", ".", "e", "_", "\\", "\n", "\u2003", "nan", "inf", "None", "True", "0x1", "\ud800"]
)


@given(st.lists(PIECES, max_size=40).map(" ".join) | st.lists(PIECES, max_size=40).map("".join) | st.text(max_size=60))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        where = parse_where(text)
    except UserError as error:
        assert len(str(error)) < 600 and "\n" not in str(error)
        return
    assert isinstance(where, Where) and isinstance(where.holds(SCORES), bool) and isinstance(where.holds({}), bool)


@pytest.mark.parametrize("text", ["", " ", "1<2", "csd>="])
def test_a_recipe_rejects_by_scores(text: str) -> None:
    with pytest.raises(ValidationError, match="reject"):
        CurateConfig.model_validate({"source": {"path": "x"}, "experts": {}, "reject": {"poor": text}})


def test_a_recipe_settles_by_an_expression() -> None:
    vlm = {"model": "x", "settled": "csd>"}
    with pytest.raises(ValidationError, match="settled"):
        CurateConfig.model_validate({"source": {"path": "x"}, "experts": {}, "vlm": vlm})
