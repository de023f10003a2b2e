"""The help pages: one for every node, in English and in Chinese, and both say the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from comfyui_uso import nodes

from .test_locales import read

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "web/docs"
ENTRY = re.compile(r"^- `(\w+)`(?:\uff08([^\uff0c\uff09]+))?", re.MULTILINE)
"""An input or output; in Chinese with its label, in the brackets and commas of that script."""
SECTIONS = 5
CODE = re.compile(r"``(?:.+?)``|`[^`]+`", re.DOTALL)
SHORTEST = 30
"""Characters of a quoted sentence; what is shorter names something."""

SCHEMAS = {schema.node_id: schema for schema in (node.define_schema() for node in nodes.NODES)}
CHINESE = {node: texts for node, texts in read("zh").items()}

for_every_node = pytest.mark.parametrize("node", SCHEMAS)


def both(node: str) -> tuple[str, str]:
    """Read a node's page in English and in Chinese."""
    return tuple((DOCS / file).read_text(encoding="utf-8") for file in (f"{node}.md", f"{node}/zh.md"))


def sections(page: str) -> list[str]:
    """Return what stands under each heading of a page, in order."""
    return re.split(r"^## .*$", page, flags=re.MULTILINE)[1:]


def sentences(text: str) -> list[str]:
    """Return the sentences that a text quotes."""
    quoted = (re.sub(r"\s+", " ", span.strip("` ")) for span in CODE.findall(text))
    return [sentence for sentence in quoted if len(sentence) >= SHORTEST and " " in sentence]


def test_every_node_has_a_page_in_both_languages_and_no_other() -> None:
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert pages == {page for node in SCHEMAS for page in (f"{node}.md", f"{node}/zh.md")}


@for_every_node
def test_both_have_the_same_sections(node: str) -> None:
    english, chinese = both(node)
    assert len(sections(english)) == len(sections(chinese)) == SECTIONS
    pictures = re.compile(r"!\[[^\]]*\]\((\S+)\)")
    assert pictures.findall(english) == pictures.findall(chinese)
    for part, other in zip(sections(english), sections(chinese), strict=True):
        assert len(re.findall(r"^- ", part, re.MULTILINE)) == len(re.findall(r"^- ", other, re.MULTILINE)), part[:60]


@for_every_node
def test_both_name_the_same_template_of_this_pack(node: str) -> None:
    named = [re.findall(r"\*\*(USO (?:FLUX )?(?:example )?\d[^*]*)\*\*", page) for page in both(node)]
    assert named[0] == named[1]
    assert all((ROOT / f"workflows/{name}.json").is_file() for name in named[0]), named[0]


@for_every_node
def test_both_name_every_input_and_output_in_order(node: str) -> None:
    schema, texts = SCHEMAS[node], CHINESE[node]
    expected = [item.id for item in schema.inputs], [item.display_name or item.id for item in schema.outputs]
    labels = [item["name"] for item in texts["inputs"].values()], [item["name"] for item in texts["outputs"].values()]
    english, chinese = both(node)
    for place in (0, 1):
        assert [name for name, _ in ENTRY.findall(sections(english)[place])] == expected[place]
        assert ENTRY.findall(sections(chinese)[place]) == list(zip(expected[place], labels[place], strict=True))


@for_every_node
def test_both_quote_the_same_error_sentences_and_the_chinese_one_explains_each(node: str) -> None:
    english, chinese = (sections(page)[3] for page in both(node))
    assert sentences(chinese) == sentences(english)
    for entry in re.split(r"^- ", chinese, flags=re.MULTILINE)[1:]:
        assert re.search(r"[\u4e00-\u9fff]", CODE.sub("", entry)), entry


@for_every_node
def test_the_chinese_page_shows_the_values_of_lists_as_the_node_does(node: str) -> None:
    inputs = sections(both(node)[1])[0]
    for name, texts in CHINESE[node]["inputs"].items():
        entry = inputs.partition(f"- `{name}`")[2].partition("\n- ")[0]
        if "\u540c `" in entry:  # "as", for one that says it like another
            continue
        for value, word in texts.get("options", {}).items() if node != "USO_Example" else ():
            assert re.search(rf"{word}\s+\(`{re.escape(value)}`\)", entry), (node, name, value)


@for_every_node
def test_chinese_paragraphs_are_not_broken(node: str) -> None:
    """The page shows a broken line as a space, which has no place between Chinese characters."""
    assert not re.findall("[\u3000-\u9fff\uff01-\uff5e]\n *[\u3000-\u9fff\uff01-\uff5e]", both(node)[1])


@for_every_node
def test_the_chinese_page_calls_nodes_by_their_chinese_names(node: str) -> None:
    names = {texts["display_name"] for texts in CHINESE.values()}
    called = set(re.findall("\u201c(USO [^\u201d]+)\u201d", both(node)[1]))
    assert called <= names, called - names


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda path: path.relative_to(DOCS).as_posix())
def test_links_lead_to_files(page: Path) -> None:
    """As on GitHub; web/links.js gives those to docs/ their address in ComfyUI."""
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)", text):
        assert "://" in link or (page.parent / link.partition("#")[0]).is_file(), link
    for picture in re.findall(r"!\[[^\]]*\]\(([^)\s]+)\)", text):
        assert (DOCS / picture).is_file(), picture  # the page looks for pictures beside the English pages


def test_pages_lead_to_dials_migration_and_parity() -> None:
    linked = {link for path in DOCS.rglob("*.md") for link in re.findall(r"/docs/(\w+)\.md\)", path.read_text("utf-8"))}
    assert linked >= {"dials", "migration", "parity"}
    plain: list[Any] = [path.name for path in DOCS.rglob("*.md") if "`docs/" in path.read_text("utf-8")]
    assert not plain, f"these name a page of docs/ without a link: {plain}"
