"""The report's page in a browser: it opens from disk, soon, and asks for nothing else."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from comfyui_uso.trainer.evaluate.bench import Bench, Picture, Row, read_bench, write_bench
from comfyui_uso.trainer.evaluate.report import write_report
from comfyui_uso.trainer.evaluate.scores import Header, MeasureCard, Score, write_scores
from comfyui_uso.trainer.evaluate.together import read_together
from comfyui_uso.uso_model.writing import sha256_of
from PIL import Image

from ...machine import at_most

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
EVIL = "<script>window.hit = 1</script><img src=x onerror='window.hit = 1'>"
CARDS = [
    MeasureCard(name="dino", sees="subject", columns=["dino"]),
    MeasureCard(name="copy_paste", sees="copying", better="lower", columns=["copy_paste"]),
    MeasureCard(
        name="csd", sees="style", columns=["csd"], cannot="cannot tell styles apart here (AUC .52, .47 to .57)"
    ),
]

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome is on the PATH"),
]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return a scored run of 10,000 pictures of 50 subjects, 50 styles and four samples."""
    rng = np.random.default_rng(0)
    bench, run, found = tmp_path / "bench", tmp_path / f"run {EVIL[:7].strip('<')}", {}
    (bench / "pictures").mkdir(parents=True)
    (run / "pictures").mkdir(parents=True)
    for number in range(50):
        path = bench / "pictures" / "new.png"
        Image.fromarray(rng.integers(0, 255, (6, 6, 3), np.uint8)).resize((256, 256)).save(path)
        digest = sha256_of(path)
        path.rename(path.with_name(f"{digest}.png"))
        found[str(number)] = Picture(path=Path("pictures", f"{digest}.png"), sha256=digest)
    rows = [
        Row(
            id=f"s{s}-c{c}",
            task=("joint_kept", "joint_shifted")[c % 2],
            prompt=f"a subject {c} {EVIL}",
            prompt_id=str(c % 25),
            subject=str(c),
            content=str(c),
            style=str(s),
            style_name=str(s),
            samples=4,
        )
        for s in range(50)
        for c in range(50)
    ]
    write_bench(bench, Bench(protocol="large", pictures=found), rows)
    Image.fromarray(rng.integers(0, 255, (8, 8, 3), np.uint8)).resize((512, 512)).save(run / "first.png")
    scores = []
    for row in rows:
        for sample in range(4):
            os.link(run / "first.png", run / "pictures" / f"{row.id}_{sample}.png")
            values = dict(zip(("dino", "copy_paste", "csd"), rng.normal(0.5, 0.1, 3).tolist(), strict=True))
            line = {"row": row.id, "sample": sample, "task": row.task, "prompt_id": row.prompt_id, "values": values}
            scores.append(Score(**line, subject=row.subject, style_name=row.style_name))
    digest = read_bench(bench)[2]
    header = Header(protocol="large", bench=digest, model={"name": EVIL}, measures=CARDS, bench_folder=str(bench))
    write_scores(run / "scores.jsonl", header.model_copy(update={"expected": 10_000}), scores)
    return run


def test_ten_thousand_pictures_open_in_three_seconds(run: Path, tmp_path: Path):
    from playwright import sync_api

    with at_most(60, time.perf_counter):
        page_file = write_report(read_together([run]), tmp_path / "out")[-1]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        asked: list[str] = []
        said: list[str] = []
        page.on("request", lambda request: asked.append(request.url.partition(":")[0]))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto("about:blank")
        with at_most(3, time.perf_counter):
            page.goto(page_file.as_uri(), wait_until="load")
        page.screenshot(path=str(tmp_path / "top.png"))
        assert asked.count("file") == 1 and set(asked) <= {"file", "data"} and said == []
        assert page.evaluate("window.hit") is None
        text = page.inner_text("body")
        assert EVIL in text and "cannot tell styles apart here" in text and "Task joint, kept" in text
        for picture in page.query_selector_all("img")[::7]:
            picture.scroll_into_view_if_needed()
        page.wait_for_function("[...document.images].filter(i => i.complete).every(i => i.naturalWidth > 0)")
        assert len(page.query_selector_all("figure")) == 2 * 2 * 12
        page.screenshot(path=str(tmp_path / "whole.png"), full_page=True)
        browser.close()
    kept = os.environ.get("USO_KEEP_PAGES")
    if kept:
        shutil.copytree(tmp_path / "out", kept, dirs_exist_ok=True)
        for name in ("top.png", "whole.png"):
            shutil.copy(tmp_path / name, kept)
    assert page_file.stat().st_size < 5_000_000
