"""Servers that refuse, are away, want other options, or quote the key."""

from __future__ import annotations

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from comfyui_uso.trainer.curate.judging.vlm_refusal import seconds_to_wait
from comfyui_uso.trainer.curate.recipe import VlmSettings
from comfyui_uso.uso_model.errors import UserError
from pydantic import ValidationError

from .fake_vlm import Reply, fake_vlm
from .vlm_rows import KEY, judge_of, judged

NO_PICTURES = "judge is not a multimodal model"


def reply(status: int, message: Any, **headers: str) -> Reply:
    return status, headers, json.dumps({"error": {"message": message}}).encode()


@pytest.mark.parametrize(
    ("status", "message", "cure"),
    [
        (400, NO_PICTURES, "takes two pictures"),
        (401, f"Incorrect API key provided: {KEY}", "correct the key in the environment variable JUDGE_KEY"),
        (402, "no credit", "look at the server's log"),
        (403, "not for you", "ask for the right"),
        (404, "model 'judge' not found, try pulling it first", "correct vlm.model"),
        (413, "too large", "set vlm.longest lower"),
        (429, "You exceeded your current quota, check your plan and billing details", "pay"),
        (308, "moved", "http://elsewhere.example/v1"),
    ],
)
def test_a_refusal_that_cannot_change_stops_with_the_servers_words(
    tmp_path: Path, status: int, message: str, cure: str
) -> None:
    refused = reply(status, message, Location="http://elsewhere.example/v1")
    with fake_vlm(chosen=lambda body: refused) as server, pytest.raises(UserError) as told:
        judged(judge_of(server.address), tmp_path, 1)
    text = str(told.value)
    assert f"answers {status}" in text and message[:20] in text and cure in text and "\n" not in text
    assert KEY not in text and len(server.requests) <= 4


def test_a_refusal_of_one_row_alone_leaves_it_unjudged(tmp_path: Path) -> None:
    """Also where it is the first one that is asked about, as after a start that goes on."""
    plain: list[bool] = []

    def only_grey(body: dict[str, Any]) -> Reply | None:
        from comfyui_uso.trainer.curate.judging.vlm_model import Turn
        from comfyui_uso.trainer.curate.judging.vlm_pictures import as_sent
        from comfyui_uso.trainer.curate.judging.vlm_request import message_of
        from PIL import Image

        grey = message_of(Turn("user", "", [as_sent(Image.new("RGB", (32, 32), (128, 128, 128)), 768)] * 2))
        plain.append(body["messages"][0]["content"][:4] == grey["content"][:4])
        return None if plain[-1] else reply(400, "invalid input")

    with fake_vlm(chosen=only_grey) as server:
        entry = judged(judge_of(server.address), tmp_path, 1)
    assert entry.state == "unjudged" and "invalid input" in entry.reason and plain[-1]


def test_a_filtered_row_is_unjudged(tmp_path: Path) -> None:
    filtered = (400, {}, b'{"error": {"code": "content_filter", "message": "The response was filtered"}}')
    with fake_vlm(chosen=lambda body: filtered) as server:
        assert judged(judge_of(server.address), tmp_path, 1).state == "unjudged"


def test_retry_after_is_obeyed_by_all_workers(tmp_path: Path) -> None:
    waits = iter([reply(429, "slow down", **{"Retry-After": "1"})])
    with fake_vlm(chosen=lambda body: next(waits, None)) as server:
        began = time.monotonic()
        assert judged(judge_of(server.address), tmp_path, 1).state == "done"
    assert time.monotonic() - began >= 1


def test_a_server_that_wants_to_be_left_alone_for_hours_stops_the_run(tmp_path: Path) -> None:
    refused = reply(429, "daily limit", **{"Retry-After": "86400"})
    with fake_vlm(chosen=lambda body: refused) as server, pytest.raises(UserError, match="left alone for 86400 s"):
        judged(judge_of(server.address), tmp_path, 1)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("3", 3), (" 2.5 ", 2.5), ("-1", 0), ("nan", 0), ("soon", 0), ("", 0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0)],
)
def test_reads_retry_after(header: str, seconds: float) -> None:
    assert seconds_to_wait({"retry-after": header}) == seconds


def test_an_endpoint_that_is_down_is_waited_for_and_then_stops_the_run(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    began = time.monotonic()
    with pytest.raises(UserError, match=r"does not answer \(.*refused.*\); start it or correct vlm.endpoint"):
        judged(judge_of(address, patience=0.3), tmp_path, 1)
    assert time.monotonic() - began >= 0.3
    with pytest.raises(UserError, match="does not answer"):
        judge_of(address, patience=0.0).check()


def test_an_endpoint_that_comes_back_in_time_goes_on(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(judged, judge_of(f"http://127.0.0.1:{port}/v1", 0.1, patience=60, tries=1), tmp_path, 1)
        time.sleep(0.5)
        with fake_vlm(port):
            assert waiting.result(60).state == "done"


@pytest.mark.parametrize(
    ("body", "said"), [([b"x"] * 20, "did not end in time"), (b"x" * (9 << 20), "more than 8 MB")], ids=["slow", "long"]
)
def test_an_answer_without_an_end_is_given_up(tmp_path: Path, body: Any, said: str) -> None:
    with fake_vlm(chosen=lambda asked: (200, {}, body)) as server:
        entry = judged(judge_of(server.address, tries=1, timeout=0.6), tmp_path, 1)
    assert entry.state == "unjudged" and said in entry.reason and len(entry.line()) < 10_000


def test_a_wrong_model_is_told_before_the_run_with_those_that_there_are() -> None:
    with fake_vlm() as server:
        judge_of(server.address).check()
        with pytest.raises(
            UserError, match="has no model jugde, it has judge, other; correct vlm.model".replace("jugde", "'jugde'")
        ):
            judge_of(server.address, model="jugde").check()
        hostile = [{"id": name} for name in ("x" * (1 << 20), "\x1b[31mred", *map(str, range(2000)))]
        server.models = (200, {}, json.dumps({"data": hostile}).encode())
        with pytest.raises(UserError, match="has no model 'judge'") as told:
            judge_of(server.address).check()
        assert len(str(told.value)) < 1000 and "\x1b" not in str(told.value)
        server.models = (200, {}, b'{"data": [{"id": "judge:latest"}]}')
        judge_of(server.address).check()
        for silent in (
            reply(404, "no list"),
            (200, {}, b"<html>"),
            (200, {}, b'{"data": [1, {"id": null}]}'),
            reply(500, "x"),
        ):
            server.models = silent
            judge_of(server.address).check()
        server.models = reply(401, f"bad key {KEY}")
        with pytest.raises(UserError, match=r"bad key \[key\]"):
            judge_of(server.address).check()


@pytest.mark.parametrize(
    ("refuses", "message"),
    [
        (lambda body: body.get("response_format", {}).get("type") == "json_schema", "response_format is not supported"),
        (lambda body: "response_format" in body, "Bad Request"),
        (lambda body: "max_tokens" in body, "Use 'max_completion_tokens' instead of 'max_tokens'"),
        (lambda body: "temperature" in body, "temperature does not support 0 with this model"),
    ],
)
def test_what_a_server_does_not_take_is_left_out(tmp_path: Path, refuses: Any, message: str) -> None:
    refused = reply(400, message)
    with fake_vlm(chosen=lambda body: refused if refuses(body) else None) as server:
        assert judged(judge_of(server.address), tmp_path, 1).state == "done"
    assert sum(bool(refuses(body)) for body in server.requests) <= 2, "asked for once and remembered"


def test_the_environment_of_another_service_plays_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
        "OPENAI_API_KEY": "sk-of-another-service",
        "OPENAI_ORG_ID": "org-of-another",
        "OPENAI_PROJECT_ID": "project-of-another",
        "OPENAI_CUSTOM_HEADERS": "X-Other: secret\nAuthorization: Bearer other",
    }.items():
        monkeypatch.setenv(name, value)
    with fake_vlm() as server:
        assert judged(judge_of(server.address), tmp_path, 1).state == "done"
    sent = server.headers[-1]
    assert sent["authorization"] == f"Bearer {KEY}"
    assert "another" not in str(sent) and "x-other" not in sent


def test_a_key_in_answers_is_not_kept(tmp_path: Path) -> None:
    for told in (f"you sent {KEY}", f'{{"parts": ["{KEY}"'):
        with fake_vlm(chosen=lambda body: reply(500, told)) as server:  # noqa: B023
            line = judged(judge_of(server.address, tries=1), tmp_path, 1).line()
        assert KEY.encode() not in line and b"[key]" in line


@pytest.mark.parametrize(
    "wrong",
    [
        {"key_env": "sk-0123456789abcdef"},
        {"endpoint": "http://me:secret-0123@127.0.0.1/v1"},
        {"endpoint": "http://127.0.0.1/v1?key=secret-0123"},
        {"endpoint": "127.0.0.1:8000"},
        {"endpoint": "file:///etc/passwd"},
        {"endpoint": "http://127.0.0.1:port/v1"},
    ],
)
def test_settings_that_would_write_a_key_down_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError) as told:
        VlmSettings(model="judge", **wrong)
    assert "0123" not in told.value.errors()[0]["msg"]


def test_an_environment_variable_that_holds_no_key_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from comfyui_uso.trainer.curate.judging.vlm_key import Key

    with pytest.raises(UserError, match="JUDGE_KEY holds no key") as told:
        Key("JUDGE_KEY", {"JUDGE_KEY": "two words"})
    assert "words" not in str(told.value)
    assert "sk-1" not in f"{Key('JUDGE_KEY', {'JUDGE_KEY': 'sk-1'})!r}"
