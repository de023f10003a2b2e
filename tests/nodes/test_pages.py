"""The pages of docs/ as ComfyUI's server shows them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from comfyui_uso.nodes.pages import page

ROOT = Path(__file__).resolve().parents[2]
PAGES = [path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("docs/*.md"), ROOT / "README.md"]]


@pytest.mark.parametrize("place", PAGES)
def test_every_page_is_shown_and_its_links_lead_on(place: str) -> None:
    body, kind = page(place) or (b"", "")
    text = body.decode()
    assert kind == "text/html" and text.count("<h1") == 1
    assert "<p>|" not in text, "a row stands outside its table"
    assert "](" not in re.sub(r"<(code|pre)>.*?</\1>", "", text, flags=re.DOTALL), "a link was not read"
    for picture in re.findall(r'<img src="([^"]+)"', text):
        found = page((Path(place).parent / picture).as_posix())
        assert found and found[1] == {".jpg": "image/jpeg", ".png": "image/png"}[Path(picture).suffix], picture
    for link, anchor in re.findall(r'<a href="(?!\w+:)([^"#]*)#?([^"]*)"', text):
        target = (ROOT / place).parent / link if link else ROOT / place
        place_of_target = target.resolve().relative_to(ROOT).as_posix()
        if target.suffix != ".md" or place_of_target.startswith(("dev/", "CONTRIBUTING")):  # no user downloads those
            continue
        led = page(place_of_target)
        assert led, link
        assert not anchor or f'id="{anchor}"' in led[0].decode(), (link, anchor)


@pytest.mark.parametrize(
    "place",
    [
        "docs/nothing.md",
        "docs",
        "../docs/dials.md",
        "/etc/hostname",
        "nodes/apply.py",
        "docs/../NOTICE",
        "docs/a\0b.md",
        f"docs/{'a' * 300}.md",
    ],
)
def test_nothing_else_is_given(place: str) -> None:
    assert page(place) is None


def test_without_the_library_a_page_stands_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "markdown_it", None)
    body, _ = page("docs/dials.md") or (b"", "")
    assert b"<pre># " in body and b"<h1" not in body
