"""Answers of a model: read as they were asked for, or refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from comfyui_uso.trainer.curate.judging.vlm_answers import (
    Invalid,
    json_of,
    read_caption,
    read_findings,
    read_names,
    read_scores,
)
from comfyui_uso.trainer.curate.judging.vlm_model import Unusable
from comfyui_uso.trainer.curate.judging.vlm_refusal import seconds_to_wait, words_of
from comfyui_uso.trainer.curate.judging.vlm_reply import models_of, read_reply
from hypothesis import given, settings
from hypothesis import strategies as st

PARTS = ["line work", "Colour"]


def scores(*values: Any, parts: Any = PARTS) -> dict[str, Any]:
    return {"scores": [{"part": part, "score": value} for part, value in zip(parts, values, strict=True)]}


def test_reads_what_was_asked_for() -> None:
    assert read_scores(scores(3, 0), PARTS) == {"line work": 3, "Colour": 0}
    assert read_scores(scores(1, 4.0, parts=["COLOUR", " Line  work "]), PARTS) == {"line work": 4, "Colour": 1}
    assert read_names({"parts": [" a ", "b\nc"]}) == ["a", "b c"]
    assert read_findings({"comparisons": [{"part": "a", "finding": "x <b>"}]}, ["a"]) == {"a": "x <b>"}
    assert read_caption({"caption": "A cat\nsits."}) == "A cat sits."


@pytest.mark.parametrize("text", ['{"a": 1}', ' \n{"a": 1}\n', '```json\n{"a": 1}\n```', '<think>hm {</think>{"a": 1}'])
def test_takes_a_fence_and_thoughts_off(text: str) -> None:
    assert json_of(text) == {"a": 1}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4",
        "[]",
        "null",
        "Sure! {}",
        '{"a": 1} {"a": 2}',
        '{"a": NaN}',
        '{"a": -Infinity}',
        '{"score": 1, "score": 4}',
        '{"a": ' + "9" * 5000 + "}",
        "[" * 5000,
        '{"a": ' * 5000,
        "```\n{}\n```\n```\n{}\n```",
        "x" * 200_000,
    ],
)
def test_refuses_all_else(text: str) -> None:
    with pytest.raises(Invalid):
        json_of(text)


@pytest.mark.parametrize(
    "answer",
    [
        scores(7, 0),
        scores(-1, 0),
        scores(2.5, 0),
        scores("4", 0),
        scores(True, 0),
        scores(None, 0),
        scores(float("nan"), 0),
        scores(float("inf"), 0),
        scores(1e300, 0),
        scores([4], 0),
        scores(4, parts=PARTS[:1]),
        scores(4, 4, parts=["line work", "line work"]),
        scores(4, 4, parts=["line work", "light"]),
        scores(4, 4, 4, parts=[*PARTS, "light"]),
        {"scores": 4},
        {"scores": [4, 4]},
        {"score": 4},
        {},
    ],
)
def test_never_guesses_a_score(answer: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        read_scores(answer, PARTS)


@pytest.mark.parametrize(
    "parts",
    [[], ["a"] * 2, ["a", "A "], [""], ["\ud800"], ["a\x1b[31m"], ["x" * 101], list("abcdefghijklm"), "abc", [1]],
)
def test_refuses_names_that_are_none(parts: Any) -> None:
    with pytest.raises(Invalid):
        read_names({"parts": parts})


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([*PARTS, "4", "NaN"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["scores", "parts", "part", "score", "choices", "message", "content"]), inner)
    ),
    max_leaves=12,
)


@settings(max_examples=50, deadline=None)
@given(ANYTHING, st.text(max_size=20))
def test_any_answer_is_read_or_refused(value: Any, noise: str) -> None:
    for text in (json.dumps(value), json.dumps(value)[:-1], noise, f"{noise}{json.dumps(value)}"):
        try:
            found = read_scores(json_of(text), PARTS)
        except Invalid as error:
            assert str(error).isprintable()
        else:
            assert list(found) == PARTS and all(type(score) is int and 0 <= score <= 4 for score in found.values())
        try:
            assert read_reply(text).text.strip()
        except Unusable as error:
            assert error.reason and error.raw == text
        assert all(isinstance(name, str) for name in models_of(text))
        assert len(words_of(text)) <= 300 and not {"\n", "\x1b"} & set(words_of(text))
        assert seconds_to_wait({"retry-after": text}) >= 0
