"""ComfyUI servers as an expert: several of them, and whatever goes wrong there."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from comfyui_uso.trainer.comfy.answers import Unanswered
from comfyui_uso.trainer.comfy.server import Server
from comfyui_uso.trainer.curate.build import build_steps
from comfyui_uso.trainer.curate.experts import servers as pool
from comfyui_uso.trainer.curate.experts.comfyui import ComfyExpert
from comfyui_uso.trainer.curate.experts.open import open_expert
from comfyui_uso.trainer.curate.recipe import CurateConfig, ExpertSettings
from comfyui_uso.trainer.curate.steps import Again, Rejected, Request
from comfyui_uso.uso_model.errors import UserError
from PIL import Image

from ..evaluate.fake_comfy import FakeComfy, fake_comfy
from .test_comfy_titles import titled, write

GREY = Image.new("RGB", (24, 16), (9, 9, 9))


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("comfyui_uso.trainer.curate.experts.comfyui.PATIENCE", 0.0)
    monkeypatch.setattr(pool, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(pool, "LONGEST_PAUSE", 0.08)


@pytest.fixture
def two() -> Iterator[tuple[FakeComfy, FakeComfy]]:
    with fake_comfy() as one, fake_comfy() as other:
        yield one, other


@pytest.fixture
def expert(tmp_path: Path) -> Callable[..., ComfyExpert]:
    def make(*fakes: FakeComfy, graph: dict[str, Any] | None = None) -> ComfyExpert:
        settings = ExpertSettings(graph=write(tmp_path, graph or titled()), servers=[fake.address for fake in fakes])
        made = open_expert("artist", settings)
        assert isinstance(made, ComfyExpert)
        return made

    return make


def request(seed: int = 1, **changes: Any) -> Request:
    return Request(**{"prompt": "a cat", "seed": seed, "width": 32, "height": 16, "style": GREY, **changes})


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (16, 32, 3), np.uint8)


def test_a_request_reaches_the_graph_and_its_picture_comes_back(two: Any, expert: Callable[..., ComfyExpert]) -> None:
    drawn = expert(two[0])(request(7))
    assert np.array_equal(np.asarray(drawn), noise(7))
    (graph,) = two[0].graphs
    assert graph["1"]["inputs"]["text"] == "a cat" and graph["7"]["inputs"]["seed"] == 7
    assert graph["3"]["inputs"]["image"].endswith(".png [temp]") and "4" not in graph
    assert graph["8"]["class_type"] == "PreviewImage", "nothing piles up on the server"
    expert(two[0])(request(8, prompt=""))
    assert two[0].graphs[1]["1"]["inputs"]["text"] == "x", "no prompt leaves the graph's own"


def test_settings_that_draw_alike_describe_alike(two: Any, expert: Callable[..., ComfyExpert]) -> None:
    one, other = expert(two[0]), expert(*two)
    assert one.describe() == other.describe() != expert(two[0], graph=titled(n2="z")).describe()
    assert "127.0.0.1" not in str(one.describe()) and (one.workers, other.workers) == (2, 4)


def test_all_servers_draw_and_the_fast_one_more(two: Any, expert: Callable[..., ComfyExpert]) -> None:
    slow, fast = two
    slow.seconds, fast.seconds = 0.09, 0.03
    artist = expert(slow, fast)
    with ThreadPoolExecutor(artist.workers) as threads:
        drawn = list(threads.map(lambda seed: np.asarray(artist(request(seed))), range(24)))
    assert all(np.array_equal(picture, noise(seed)) for seed, picture in enumerate(drawn))
    assert len(slow.graphs) + len(fast.graphs) == 24 and len(fast.graphs) >= 1.7 * len(slow.graphs) > 0


def test_what_a_killed_driver_had_asked_for_is_found_again(two: Any, expert: Callable[..., ComfyExpert]) -> None:
    for _ in range(2):
        expert(two[0])(request(3))
    assert len(two[0].graphs) == 1
    two[0].restart()
    expert(two[0])(request(3))
    two[0].loses = 1
    assert np.array_equal(np.asarray(expert(two[0])(request(3))), noise(3))
    assert len(two[0].graphs) == 3 and len(set(two[0].ids)) == 2, "unknown means submit again"


def test_a_forgotten_graph_is_submitted_again(two: Any, expert: Callable[..., ComfyExpert]) -> None:
    two[0].forgets = 2
    assert np.array_equal(np.asarray(expert(two[0])(request(3))), noise(3))
    assert len(two[0].graphs) == 3


@pytest.mark.parametrize("fault", [{"away": True}, {"code": 503}, {"code": 500}, {"code": 429}])
def test_a_server_that_does_not_answer_rests_and_comes_back(
    fault: dict[str, Any], two: Any, expert: Callable[..., ComfyExpert], caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = two
    good.seconds = 0.01
    vars(bad).update(fault)
    artist = expert(bad, good)
    with caplog.at_level(logging.INFO):
        with ThreadPoolExecutor(4) as threads:
            drawn = list(threads.map(lambda seed: np.asarray(artist(request(seed))), range(16)))
        assert all(np.array_equal(picture, noise(seed)) for seed, picture in enumerate(drawn))
        rests = [record.message for record in caplog.records if " rests: " in record.message]
        assert len(rests) == 1 and bad.address in rests[0], "said once"
        assert len(good.graphs) == 16
        vars(bad).update(away=False, code=0)
        good.away = True
        artist(request(16))
    assert sum("draws again" in record.message for record in caplog.records) == 1


def test_all_resting_is_said_once_and_waited_for(
    two: Any, expert: Callable[..., ComfyExpert], caplog: pytest.LogCaptureFixture
) -> None:
    for fake in two:
        fake.away = True
    artist = expert(*two)
    with caplog.at_level(logging.INFO), ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(artist, request(5))
        while not any("the run waits" in record.message for record in caplog.records):
            time.sleep(0.005)
        assert not waiting.done()
        two[1].away = False
        assert np.array_equal(np.asarray(waiting.result(5)), noise(5))
    assert sum("the run waits" in record.message for record in caplog.records) == 1


def test_a_refused_graph_stops_after_the_first_row(two: Any, expert: Callable[..., ComfyExpert]) -> None:
    two[0].refuses = "positive"
    with pytest.raises(UserError, match=r"ComfyUI 0.33.0 at .* refuses the graph: KSampler \(.*\): Required input is"):
        expert(two[0])(request())
    assert len(two[0].graphs) == 2, "once more, in case that it was started again between upload and graph"


def test_a_node_that_fails_stops_the_run_unless_the_server_has_drawn(
    two: Any, expert: Callable[..., ComfyExpert]
) -> None:
    two[0].fails = "mat1 and mat2"
    with pytest.raises(UserError, match=r"at .* could not draw \(KSampler: mat1 and mat2\); mend the graph or"):
        expert(two[0])(request())
    assert len(two[0].graphs) == 1
    two[0].fails = None
    artist = expert(two[0])
    artist(request(1))
    two[0].fails = "a file is missing"
    with pytest.raises(Again, match="a file is missing"):
        artist(request(2))
    two[0].fails = None
    artist(request(3))


def test_a_server_without_memory_rests_and_others_go_on(two: Any, expert: Callable[..., ComfyExpert]) -> None:
    small, large = two
    small.fails, small.kind = "Allocation on device", "torch.OutOfMemoryError"
    artist = expert(small, large)
    for seed in range(4):
        artist(request(seed))
    assert len(large.graphs) == 4
    large.fails, large.kind = small.fails, small.kind
    with pytest.raises(UserError, match="Allocation on device"):
        expert(small, large)(request(9))


def test_an_interrupted_graph_is_tried_again(two: Any, expert: Callable[..., ComfyExpert]) -> None:
    artist = expert(two[0])
    two[0].interrupts = 2
    assert np.array_equal(np.asarray(artist(request(3))), noise(3)) and len(two[0].graphs) == 3
    two[0].interrupts = 9
    with pytest.raises(Again, match="was interrupted on ComfyUI"):
        artist(request(4))


def test_a_black_picture_is_a_reject(two: Any, expert: Callable[..., ComfyExpert]) -> None:
    two[0].black = True
    with pytest.raises(Rejected, match=r"black picture of graph\.json"):
        expert(two[0])(request())


def test_wrong_sizes_and_numbers_are_told(two: Any, expert: Callable[..., ComfyExpert]) -> None:
    two[0].enlarges = 8
    with pytest.raises(UserError, match=r"gives 40x16 on ComfyUI .*, expected 32x16: let uso:width"):
        expert(two[0])(request(1))
    assert expert(two[0], graph=titled(n6="free"))(request(2)).size == (72, 64), "the graph chooses"
    for pictures in (0, 2):
        two[0].pictures = pictures
        with pytest.raises(UserError, match=f"uso:out of graph.json gives {pictures} pictures on ComfyUI .*expected 1"):
            expert(two[0])(request(3 + pictures))


def test_several_versions_are_said(
    two: Any, expert: Callable[..., ComfyExpert], caplog: pytest.LogCaptureFixture
) -> None:
    two[0].version, two[0].seconds = "0.30.1", 0.05
    artist = expert(*two)
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(artist, [request(1), request(2)]))
    assert "several versions of ComfyUI" in caplog.text and "0.30.1" in caplog.text


def test_what_is_no_comfyui_is_said(expert: Callable[..., ComfyExpert], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="needs a graph"):
        open_expert("artist", ExpertSettings())
    for address in ("ftp://a", "http://", "", "http://a:99999", "http://[::1", "http://a b", "http://a:x"):
        settings = ExpertSettings(graph=write(tmp_path, titled()), servers=[address])
        with pytest.raises(UserError, match=r"expected an address such as http://127\.0\.0\.1:8188"):
            open_expert("artist", settings)

    secret = ExpertSettings(graph=write(tmp_path, titled()), servers=["http://me:s3cret@host:8188"])
    with pytest.raises(UserError, match="a name or password in it") as error:
        open_expert("artist", secret)
    assert "s3cret" not in str(error.value)
    with fake_comfy() as fake:
        fake.page = b"<html>sign in</html>"
        with pytest.raises(
            UserError, match=r"what answers at http://127\.\S+ is no ComfyUI; correct the expert's servers"
        ):
            expert(fake)(request())
        fake.page = None
        artist = expert(fake)
        artist(request())
        fake.page = b"<html>back soon</html>"
        with ThreadPoolExecutor(1) as thread:
            waiting = thread.submit(artist, request(2))
            time.sleep(0.1)
            fake.page = None
            assert np.array_equal(np.asarray(waiting.result(5)), noise(2))


def test_a_picture_that_is_none_is_told(two: Any, expert: Callable[..., ComfyExpert]) -> None:
    two[0].view = lambda name: b"GIF89a"
    with pytest.raises(UserError, match="gave a picture that cannot be read"):
        expert(two[0])(request())


def test_a_picture_that_breaks_off_is_asked_for_again(two: Any, expert: Callable[..., ComfyExpert]) -> None:
    two[0].cuts = 3
    assert np.array_equal(np.asarray(expert(two[0])(request(3))), noise(3)), "though it has drawn none before"
    assert two[0].cuts == 0 and len(two[0].graphs) == 1


@pytest.mark.parametrize("code", [400, 503])
def test_an_error_that_breaks_off_is_one_all_the_same(code: int, two: Any) -> None:
    two[0].code, two[0].cuts = code, 1
    with pytest.raises(UserError, match=f"answers /queue with {code}; look at its log"):
        Server(two[0].address).connect()


def test_where_an_answer_breaks_off_is_told(two: Any, expert: Callable[..., ComfyExpert]) -> None:
    expert(two[0])(request(3))
    two[0].cuts = 1
    with pytest.raises(Unanswered, match=r"does not answer \(it broke off after \d+ of \d+ bytes\); start it or"):
        Server(two[0].address, 0.0).picture({"filename": f"{two[0].ids[0]}.png"})


def test_a_run_is_refused_before_its_first_row(expert: Callable[..., ComfyExpert], tmp_path: Path) -> None:
    file = write(tmp_path, titled(n3="a", n8="b"))
    told = {"source": {"path": "x"}, "experts": {"a": {"graph": str(file)}}, "style": {"expert": "a"}}
    config = CurateConfig.model_validate(told)
    with pytest.raises(UserError, match=r"no node has the title uso:style; no node has the title uso:out"):
        build_steps(config, {})


def test_titles_are_checked_for_what_will_be_given(two: Any, expert: Callable[..., ComfyExpert]) -> None:
    artist = expert(two[0], graph=titled(n3="a", n1="b"))
    with pytest.raises(UserError, match=r"no node has the title uso:prompt; no node has the title uso:style"):
        artist.check({"style", "prompt"})
    with pytest.raises(UserError, match="no node has the title uso:prompt"):
        artist(request(style=None, content=GREY))
    assert not two[0].graphs
