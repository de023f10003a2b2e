"""The pages of docs/ as ComfyUI's server shows them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from comfyui_uso.nodes.markdown import markdown_to_html
from comfyui_uso.nodes.pages import page

ROOT = Path(__file__).resolve().parents[2]
PAGES = [path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("docs/*.md"), ROOT / "README.md"]]


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("# A `b` c", '<h1 id="a-b-c">A <code>b</code> c</h1>'),
        ("one\ntwo", "<p>one two</p>"),
        ("**b** and *i*, 2 * 3 * 4", "<p><b>b</b> and <i>i</i>, 2 * 3 * 4</p>"),
        ("- a\n  more\n- b", "<ul><li>a more</li><li>b</li></ul>"),
        ("1. a\n2. b", "<ol><li>a</li><li>b</li></ol>"),
        (
            "| a | b |\n|---|---|\n| 1 | `x` |",
            "<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td><code>x</code></td></tr></table>",
        ),
        ("```sh\n<b> # x\n```\nend", "<pre>&lt;b&gt; # x</pre>\n<p>end</p>"),
        ("[t](a.md#b) ![p](q.jpg)", '<p><a href="a.md#b">t</a> <img src="q.jpg" alt="p"></p>'),
        ("[FLUX.1 [dev]](a.md)", '<p><a href="a.md">FLUX.1 [dev]</a></p>'),
        ("`**a** <i>` ``b`c``", "<p><code>**a** &lt;i&gt;</code> <code>b`c</code></p>"),
        ("<script>alert(1)</script>", "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>"),
        ("<!-- hidden -->\nseen", "<p>seen</p>"),
        ("text\n- a", "<p>text</p>\n<ul><li>a</li></ul>"),
        ("", ""),
    ],
)
def test_markdown(markdown: str, expected: str) -> None:
    assert markdown_to_html(markdown) == expected


@pytest.mark.parametrize("place", PAGES)
def test_every_page_is_shown_and_its_links_lead_on(place: str) -> None:
    body, kind = page(place) or (b"", "")
    text = body.decode()
    assert kind == "text/html" and text.count("<h1") == 1
    assert "](" not in re.sub(r"<(code|pre)>.*?</\1>", "", text, flags=re.DOTALL), "a link was not read"
    for picture in re.findall(r'<img src="([^"]+)"', text):
        found = page((Path(place).parent / picture).as_posix())
        assert found and found[1] == "image/jpeg", picture
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
    ["docs/nothing.md", "docs", "../docs/dials.md", "/etc/hostname", "nodes/apply.py", "docs/../NOTICE"],
)
def test_nothing_else_is_given(place: str) -> None:
    assert page(place) is None
