"""`uso curate run` with a vision language model: settings, the key, captions, and what is said before the first row."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from comfyui_uso import cli
from comfyui_uso.trainer.curate.judging.vlm_caption import Captioner
from comfyui_uso.trainer.curate.ledger import Ledger
from comfyui_uso.trainer.curate.pipeline import Progress
from comfyui_uso.trainer.curate.recipe import ExpertSettings
from comfyui_uso.trainer.curate.run_folder import candidates, read_run
from comfyui_uso.trainer.curate.steps import Request
from PIL import Image

from .fake_vlm import FAULTS, fake_vlm
from .vlm_rows import KEY, settings_of


class Stripes:
    """Draws stripes of a colour that its seed gives."""

    workers = 1

    def describe(self) -> dict[str, Any]:
        return {"kind": "stripes"}

    def __call__(self, request: Request) -> Image.Image:
        picture = Image.new("RGB", (request.width, request.height), (request.seed % 256, 200, 0))
        picture.paste((0, 0, request.seed % 199), (0, 0, request.width, request.height // 2))
        return picture


def stripes(settings: ExpertSettings) -> Stripes:
    return Stripes()


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """Write two pictures and a recipe that lacks an endpoint."""
    (tmp_path / "source").mkdir()
    for number in range(2):
        picture = Image.new("RGB", (64, 64), (250, 40 * number, 0))
        picture.paste((0, 90, 30 * number), (0, 0, 40, 20))
        picture.save(tmp_path / f"source/{number}.png")
    drawn = {"expert": "stripes"}
    told = {
        "source": {"path": str(tmp_path / "source")},
        "width": 64,
        "height": 64,
        "shifted": 0,
        "experts": {"stripes": {"kind": f"{__name__}:stripes"}},
        "style": drawn,
        "content_kept": drawn,
        "content_shifted": drawn,
        "reject": {},
        "vlm": {"model": "judge", "key_env": "JUDGE_KEY", "tries": 1},
    }
    (tmp_path / "set.yaml").write_text(yaml.safe_dump(told), encoding="utf-8")
    return tmp_path / "set.yaml"


def curate(recipe: Path, *settings: str) -> int:
    return cli.main(["curate", "run", str(recipe.parent / "run"), str(recipe), *settings])


def rows(recipe: Path) -> list[Progress]:
    """Return what the run says of its rows."""
    _, pipeline = read_run(recipe.parent / "run")
    return list(candidates(pipeline, Ledger(recipe.parent / "run")))


def test_scores_are_in_the_run_and_the_key_is_not(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JUDGE_KEY", KEY)
    refused = (401, {}, f'{{"error": {{"message": "Incorrect key {KEY}"}}}}'.encode())
    with fake_vlm(share=1.0, faults=["hostile"]) as server:
        assert curate(recipe, f"vlm.endpoint={server.address}") == 0
        assert [one.standing for one in rows(recipe)] == ["unjudged"] * 2 and len(server.requests) == 2
        server.chosen = lambda body: refused
        assert curate(recipe, f"vlm.endpoint={server.address}") == 2
        assert "Incorrect key [key]" in capsys.readouterr().err
        server.share, server.chosen = 0.0, None
        assert curate(recipe, f"vlm.endpoint={server.address}") == 0
        asked = len(server.requests)
        assert curate(recipe, f"vlm.endpoint={server.address}") == 0 and len(server.requests) == asked
    assert [one.standing for one in rows(recipe)] == ["complete"] * 2
    assert all({"vlm_style", "vlm_subject", "vlm_style_unsure"} <= set(one.scores) for one in rows(recipe))
    told = [path for path in recipe.parent.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert not told and KEY not in caplog.text


@pytest.mark.long
def test_with_all_faults_the_command_judges_every_row_after_enough_runs(recipe: Path) -> None:
    for number in range(2, 12):
        Image.new("RGB", (64, 64), (9 * number, 90, 200)).save(recipe.parent / f"source/{number}.png")

    def scores() -> dict[str, dict[str, Any]]:
        return {row.row.id: {n: v for n, v in row.scores.items() if n.startswith("vlm")} for row in rows(recipe)}

    with fake_vlm() as server:
        assert curate(recipe, f"vlm.endpoint={server.address}") == 0
    right = scores()
    shutil.rmtree(recipe.parent / "run")
    with fake_vlm(share=0.3) as server:
        for _ in range(60):
            assert curate(recipe, f"vlm.endpoint={server.address}", "vlm.tries=2", "vlm.timeout=0.5") == 0
            if all(row.standing == "complete" for row in rows(recipe)):
                break
    assert scores() == right and len(right) == 12 and all(len(one) == 4 for one in right.values())


def test_the_package_that_asks_is_named_where_it_lacks(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    assert curate(recipe, "vlm.endpoint=http://127.0.0.1:9/v1") == 2
    said = capsys.readouterr().err
    assert " -m pip install -e " in said and '[curate]"' in said


def test_settled_rows_are_not_asked_about(recipe: Path) -> None:
    with fake_vlm() as server:
        assert curate(recipe, f"vlm.endpoint={server.address}", "vlm.settled=target_width>=1") == 0
    assert not server.requests


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["vlm.model=jugde"], "has no model 'jugde', it has judge, other"),
        (["vlm.endpoint="], "expected a folder of a Hugging Face model"),
        (["vlm.endpoint=http://127.0.0.1:9/v1", "vlm.patience=0"], "does not answer"),
        (["vlm.key_env=sk-0123456789"], "never the key itself"),
        (["vlm.endpoint=http://me:0123456789@127.0.0.1/v1"], "without names, passwords"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence_before_the_first_row(
    recipe: Path, capsys: pytest.CaptureFixture[str], settings: list[str], said: str
) -> None:
    with fake_vlm() as server:
        assert curate(recipe, f"vlm.endpoint={server.address}", *settings) == 2
    told = capsys.readouterr().err
    assert said in told and "0123456789" not in told and told.count("\n") == 1
    assert not list((recipe.parent / "run").rglob("*.png"))


def test_captions_are_read_with_the_same_care() -> None:
    picture = Image.new("RGB", (48, 32))
    with fake_vlm() as server:
        captioner = Captioner(settings_of(server.address, tries=2))
        captioner.check()
        found = captioner.caption(picture)
        assert found.values == {"prompt": "A cat sits on a wall."} and found.notes["tokens_in"] == 1000
        server.chosen = FAULTS["hostile"]
        found = captioner.caption(picture)
    assert found.state == "unjudged" and not found.values and "it is not JSON" in found.reason
    assert found.notes["retries"] == 1 and captioner.describe()["vlm"] == {"model": "judge"}
