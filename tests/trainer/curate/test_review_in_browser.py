"""The review page in a browser: 20,000 rows stay usable, and what is decided there comes back into the run."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from comfyui_uso.cli import main
from comfyui_uso.trainer.curate.decisions import Decision, read_decisions, read_saved

from ...machine import at_most, slowness
from .reviewed import made_run, row_ids

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
EVIL = "<script>window.hit = 1</script><img src=x onerror='window.hit = 1'>"
TIMED = """async what => {
    const began = performance.now();
    const input = document.querySelector(what[0]);
    input.value = what[1];
    input.dispatchEvent(new Event(what[2]));
    await new Promise(done => requestAnimationFrame(() => setTimeout(done)));
    return performance.now() - began;
}"""

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome is on the PATH"),
]


@pytest.fixture
def browser() -> Iterator[Any]:
    """Yield a browser with nothing in its storage."""
    from playwright import sync_api

    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield found
        found.close()


def opened(browser: Any, run: Path, width: int = 1300, scheme: str = "light") -> Any:
    """Open the page of a run; what it says and asks for lands in `said` and `asked`."""
    page = browser.new_context(viewport={"width": width, "height": 850}, color_scheme=scheme).new_page()
    page.said, page.asked = [], []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("request", lambda request: page.asked.append(request.url.partition(":")[0]))
    page.goto((run / "review" / "index.html").as_uri(), wait_until="load")
    return page


def saved(page: Any, path: Path) -> Path:
    """Press `s` and keep what the page saves."""
    with page.expect_download() as download:
        page.keyboard.press("s")
    assert download.value.suggested_filename == "decisions.jsonl"
    download.value.save_as(path)
    return path


def keep(page: Any, name: str) -> None:
    """Take a picture of the page for people to look at, where USO_KEEP_PAGES names a folder."""
    if kept := os.environ.get("USO_KEEP_PAGES"):
        page.screenshot(path=str(Path(kept, f"{name}.png")))


def test_twenty_thousand_rows_stay_usable(tmp_path: Path, browser: Any) -> None:
    made_run(tmp_path, 20_000, lambda number: {"reason": "black"} if number % 9 == 8 else {})
    assert main(["curate", "review", str(tmp_path)]) == 0
    with at_most(3, time.perf_counter):
        page = opened(browser, tmp_path)
        assert "20000 of 20000 rows" in page.inner_text("#counts")
    slow = {}
    for what in (
        ("input[aria-label='csd, low']", "0.5", "input"),
        ("#search", "fox 12", "input"),
        ("#choice-standing", "0", "change"),
        ("#sort", "0", "change"),
        ("#search", "", "input"),
    ):
        slow[what[0]] = page.evaluate(TIMED, what)
    assert max(slow.values()) <= 200 * slowness(), slow
    assert page.input_value("#where") == "csd>=0.5" and len(page.query_selector_all(".row")) < 20
    page.keyboard.press("End")
    shown = page.query_selector_all(".row.now .name")
    assert len(shown) == 1 and page.said == [] and set(page.asked) == {"file"}


def test_what_is_decided_comes_back(tmp_path: Path, browser: Any, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    special = {0: {"key": EVIL, "answer": EVIL * 20_000, "about": {"style": EVIL}}, 1: {"reason": EVIL}}
    made_run(run, 40, lambda number: special.get(number, {}))
    assert main(["curate", "review", str(run)]) == 0
    page = opened(browser, run)
    keep(page, "first")
    page.keyboard.press("Enter")
    page.wait_for_selector("#detail dl dt:has-text('instruction')")
    assert EVIL in page.inner_text("#detail")
    keep(page, "detail")
    page.keyboard.press("Escape")
    page.evaluate(TIMED, ["input[aria-label='csd, low']", "0.3", "input"])
    page.select_option("#choice-standing", "complete")
    page.evaluate("document.getElementById('list').focus()")
    shown = int(page.inner_text("#counts").split()[0])
    assert 10 < shown < 39
    for _ in range(11):
        page.keyboard.press("r")
    page.keyboard.press("u")
    page.keyboard.press("a")
    assert "1 accepted, 10 rejected" in page.inner_text("#counts")
    keep(page, "decided")
    page.reload()
    assert "1 accepted, 10 rejected" in page.inner_text("#counts"), "this browser keeps them"
    page.click("text=Clear all filters")
    page.select_option("#choice-decision", "rejected")
    assert page.inner_text("#counts").startswith("10 of 40")
    found = read_saved(saved(page, tmp_path / "decisions.jsonl"), run, row_ids(run))
    assert len(found) == 11 and {one.accept for one in found.values()} == {True, False}
    assert main(["curate", "accept", str(run), "--decisions", str(tmp_path / "decisions.jsonl")]) == 0
    assert "11 decisions taken in" in capsys.readouterr().out and read_decisions(run) == found
    accepted = {json.loads(line)["id"] for line in (run / "manifest.jsonl").read_text().splitlines()}
    rejected = {row for row, one in found.items() if one.accept is False}
    assert len(rejected) == 10 and accepted == set(row_ids(run)[:1] + row_ids(run)[2:]) - rejected
    assert page.evaluate("window.hit") is None and page.said == [] and set(page.asked) <= {"file", "blob"}
    other = opened(browser, run)
    assert "0 accepted, 0 rejected" in other.inner_text("#counts"), "the page was made before"
    assert main(["curate", "review", str(run)]) == 0
    other.reload()
    assert "1 accepted, 10 rejected" in other.inner_text("#counts")
    other.keyboard.press("s")
    assert "no decisions to save" in other.inner_text("#message")


def test_the_command_to_paste_holds_no_words_of_strangers(tmp_path: Path, browser: Any) -> None:
    groups = ["$(touch hit)", "`touch hit`", 'x" ; touch hit', "%PATH%", "it's"]
    made_run(tmp_path, 20, lambda number: {"about": {"style": groups[number % 5]}})
    assert main(["curate", "review", str(tmp_path)]) == 0
    page = opened(browser, tmp_path)
    for group in groups:
        page.select_option("#choice-group", group)
        assert page.inner_text("#counts").startswith("4 of 20")
        assert page.text_content("#command") == page.input_value("#where") == ""
        assert "no command for the rows that you see" in page.inner_text("#untold")


def test_the_command_takes_the_rows_that_are_seen(
    tmp_path: Path, browser: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = ["old  woodcut", "\u00d6l", "\u58a8", "\u05d3\u05d9\u05d5", "x" * 310]
    monkeypatch.chdir(tmp_path)
    made_run(tmp_path, 100, lambda number: {"about": {"style": groups[number // 2 % 5]}})
    Path("decisions.jsonl").write_text(Decision(row_ids(tmp_path)[0], None, 1.0).line())
    assert main(["curate", "review", str(tmp_path), "--where", "csd>=.1 or dino>.9"]) == 0
    page = opened(browser, tmp_path)
    for place in range(5):
        page.select_option("#choice-group", str(place))
        page.select_option("#choice-layout", "shifted")
        page.evaluate(TIMED, ["input[aria-label='dino, low']", "0.4", "input"])
        shown = page.evaluate("window.review.filters.rows().map(row => window.review.ids[row])")
        words = shlex.split(page.inner_text("#command"))
        assert words[0] == "uso" and main([*words[1:], "--near", "-1"]) == 0
        accepted = [json.loads(line)["id"] for line in Path("manifest.jsonl").read_text().splitlines()]
        assert len(shown) > 1 and sorted(accepted) == sorted(shown)
    page.fill("#search", "fox")
    assert "leave out: search." in page.inner_text("#untold") and page.inner_text("#command")
    page.click("text=Clear all filters")
    assert page.inner_text("#command").endswith('--where "(csd>=.1 or dino>.9)"') and not page.text_content("#untold")


def test_pages_of_little_and_of_narrow_windows(tmp_path: Path, browser: Any) -> None:
    for count, words in ((0, "No rows yet"), (1, "")):
        run = tmp_path / str(count)
        made_run(run, count)
        assert main(["curate", "review", str(run)]) == 0
        for width, scheme in ((1300, "dark"), (400, "light")):
            page = opened(browser, run, width, scheme)
            assert page.is_visible("#nothing") == (count == 0) and words in page.inner_text("#nothing")
            for key in ("j", "k", "a", "u", "End", "c", "Enter", "Escape", "?", "Escape"):
                page.keyboard.press(key)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth") and page.said == []
            keep(page, f"{count}-{width}")


def test_an_open_page_outlives_one_that_is_made_anew(tmp_path: Path, browser: Any) -> None:
    made_run(tmp_path, 401)
    assert main(["curate", "review", str(tmp_path)]) == 0
    page = opened(browser, tmp_path)
    for key, words in (("End", "instruction"), ("Home", "made anew in the meantime")):
        assert main(["curate", "review", str(tmp_path)]) == 0
        page.keyboard.press(key)
        page.keyboard.press("Enter")
        page.wait_for_selector(f"#detail :text('{words}')")
        page.keyboard.press("Escape")


def test_a_decision_is_about_pictures(tmp_path: Path, browser: Any) -> None:
    made_run(tmp_path, 2)
    assert main(["curate", "review", str(tmp_path)]) == 0
    page = opened(browser, tmp_path)
    page.keyboard.press("r")
    told = json.loads(saved(page, tmp_path / "saved.jsonl").read_text())
    assert told["pictures"] == page.evaluate("window.review.seen[0]")
    shutil.rmtree(tmp_path / "journal")
    made_run(tmp_path, 2, pool=3)
    assert main(["curate", "review", str(tmp_path)]) == 0
    page.reload()
    assert "0 accepted, 0 rejected" in page.inner_text("#counts")
