"""Words in ComfyUI's real page, in English and in Chinese: what search finds, help pages, links and lists."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from .browser import CHROMIUM, READY, nodes_2, open_search
from .conftest import HERE

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome is on the PATH"),
]

STYLE, SUBJECT = "USO Style Reference", "USO Subject Reference"
ENGLISH = {
    "uso": ("USO Apply", 2),  # by name, and by how often a node is used in public, which the page knows of core's only
    "instantstyle": (STYLE, 1),
    "moodboard": (STYLE, 1),
    "image prompt": (STYLE, 1),
    "style transfer": (STYLE, 2),
    "ip adapter": (STYLE, 1),
    "redux": (STYLE, 1),
    "consistent character": (SUBJECT, 1),
    "identity": (SUBJECT, 1),
    "face": (SUBJECT, 12),  # after the nodes with the word in their names, and those that are used often
}
"""Search word to the first of our nodes in the list, and its last acceptable place."""
CHINESE_STYLE, CHINESE_SUBJECT = "USO \u98ce\u683c\u53c2\u8003", "USO \u4e3b\u4f53\u53c2\u8003"
CHINESE = {
    "\u98ce\u683c\u8fc1\u79fb": (CHINESE_STYLE, 1),  # style transfer
    "\u753b\u98ce": (CHINESE_STYLE, 1),  # way of painting
    "\u53c2\u8003\u56fe": (CHINESE_STYLE, 2),  # reference picture
    "\u4eba\u7269\u4e00\u81f4": (CHINESE_SUBJECT, 1),  # consistent person
    "\u89d2\u8272": (CHINESE_SUBJECT, 1),  # character
}
HELP = ".node-help-content"
HAN = "[\u4e00-\u9fff]"
TEMPLATE = "USO 1 style and subject (no download).json"


def speak(page: Any, language: str) -> None:
    """Show the page in a language, with an empty graph; the server keeps the choice."""
    page.evaluate("language => app.ui.settings.setSettingValueAsync('Comfy.Locale', language)", language)
    page.reload()
    page.wait_for_function(READY)
    page.wait_for_timeout(2000)
    page.evaluate("() => app.graph.clear()")


@pytest.fixture
def english(page: Any) -> Any:
    """Return the page in English, without the templates that it shows to a new user."""
    speak(page, "en")
    return page


@pytest.fixture
def chinese(page: Any) -> Iterator[Any]:
    """Return the page in Chinese; it speaks English afterwards."""
    speak(page, "zh")
    yield page
    speak(page, "en")


def found(page: Any, words: dict[str, Any]) -> dict[str, list[str]]:
    """Type words into the search of the canvas and return the names in its list."""
    open_search(page, 600, 700)
    lists = {}
    for word in words:
        page.keyboard.press("Control+A")
        page.keyboard.insert_text(word)
        page.wait_for_timeout(1500)
        lists[word] = [item.split("\n")[0] for item in page.get_by_test_id("result-item").all_inner_texts()]
    page.keyboard.press("Escape")
    return lists


def check(lists: dict[str, list[str]], expected: dict[str, tuple[str, int]]) -> None:
    for word, (first, last_place) in expected.items():
        ours = [name for name in lists[word] if name.startswith("USO ")]
        assert ours and ours[0] == first, (word, lists[word])
        assert lists[word].index(first) < last_place, (word, lists[word])


def open_help(page: Any, node: str) -> Any:
    """Put a node on the canvas, open its help and return the panel."""
    page.evaluate(
        """node => { app.graph.clear(); const made = LiteGraph.createNode(node); made.pos = [300, 300];
                     app.graph.add(made); app.canvas.selectNode(made) }""",
        node,
    )
    page.get_by_test_id("info-button").click()
    page.locator(f"{HELP} h2").first.wait_for()
    return page.locator(HELP)


def follow_links(page: Any, panel: Any) -> list[str]:
    """Click every link to a page of docs/ and return the headings of what opens."""
    headings = []
    for link in panel.locator("a[href*='docs/']").all():
        with page.context.expect_page() as opened:
            link.click()
        opened.value.wait_for_load_state()
        headings.append(opened.value.locator("h1").inner_text())
        opened.value.close()
    return headings


def test_search_in_english(english: Any) -> None:
    check(found(english, ENGLISH), ENGLISH)


def test_search_in_chinese(chinese: Any) -> None:
    check(found(chinese, CHINESE), CHINESE)


@pytest.mark.parametrize("vue", [False, True], ids=["classic", "nodes 2.0"])
def test_lists_show_their_values_in_chinese_and_keep_them(chinese: Any, vue: bool) -> None:
    nodes_2(chinese, vue)
    chinese.evaluate("() => app.graph.add(LiteGraph.createNode('USO_EncodeStyle'))")
    chinese.wait_for_timeout(1500)
    shown = "\u62c9\u4f38 (squash)"
    if vue:
        chinese.get_by_text(shown).first.wait_for()
    else:
        assert chinese.evaluate("() => app.graph._nodes[0].widgets[0]._displayValue") == shown
    assert chinese.evaluate("() => app.graph._nodes[0].serialize().widgets_values") == ["squash"]
    nodes_2(chinese, False)


def test_a_template_opens_in_chinese_and_a_graph_of_others_as_it_is(chinese: Any) -> None:
    graph = json.loads((HERE.parents[1] / "workflows" / TEMPLATE).read_text(encoding="utf-8"))
    english = next(node for node in graph["nodes"] if node["type"] == "MarkdownNote")["widgets_values"][0]
    shown = """async graph => { await app.loadGraphData(graph);
        const note = app.graph._nodes.find(node => node.type === "MarkdownNote");
        return [note.widgets[0].value, app.graph._groups.map(group => group.title)] }"""
    note, groups = chinese.evaluate(shown, graph)
    assert note.count("\n") == english.count("\n")
    assert groups and all(re.search(HAN, text) for text in [*groups, *filter(None, note.split("\n"))])
    for node in graph["nodes"]:
        if node["type"] == "MarkdownNote":
            node["widgets_values"] = ["mine"]
    assert chinese.evaluate(shown, graph) == ["mine", [group["title"] for group in graph["groups"]]]


def test_help_in_english_and_its_links(english: Any) -> None:
    panel = open_help(english, "USO_Apply")
    assert panel.locator("h1").inner_text() == "USO Apply"
    led = ["Which dial for which problem", "Coming from other graphs", "Where numbers differ from the official code"]
    assert follow_links(english, panel) == led


def test_help_in_chinese_and_its_links(chinese: Any) -> None:
    panel = open_help(chinese, "USO_Apply")
    assert panel.locator("h1").inner_text() == "USO \u5e94\u7528"
    assert panel.locator("img").evaluate_all("all => all.map(picture => picture.naturalWidth > 100)") == [True]
    assert len(follow_links(chinese, panel)) == 3
