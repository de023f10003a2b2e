"""The translation: every text of the schemas and no other; English is the schemas' own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from comfyui_uso import nodes

LOCALES = Path(__file__).resolve().parents[2] / "locales"
HAN = re.compile(r"[\u4e00-\u9fff]")
READ_BY_THE_PAGE = "{}|@"
"""Characters with a meaning of their own in the page's messages (vue-i18n)."""

Texts = dict[str, Any]


def read(language: str) -> Texts:
    """Read what a language's file holds: for each node its texts, its search words, and words for values of lists."""
    return json.loads((LOCALES / language / "nodeDefs.json").read_text(encoding="utf-8"))


def texts(language: str) -> Texts:
    """Read the node texts of a language alone, which are what the schemas have in English."""
    nodes = read(language)
    for node in nodes.values():
        del node["search_aliases"]
        for item in node["inputs"].values():
            item.pop("options", None)
    return nodes


def shown(schema: Any) -> Texts:
    """Return what the page shows of a schema without a translation."""
    return {
        "display_name": schema.display_name,
        "description": schema.description,
        "inputs": {item.id: _texts(item) for item in schema.inputs},
        "outputs": {str(place): _texts(item) for place, item in enumerate(schema.outputs)},
    }


def _texts(item: Any) -> dict[str, str]:
    return {"name": item.display_name or item.id, "tooltip": item.tooltip}


def leaves(texts: Texts, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield every text with the keys that lead to it."""
    for key, value in texts.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value


@pytest.fixture(scope="module")
def schemas() -> dict[str, Any]:
    return {schema.node_id: schema for schema in (node.define_schema() for node in nodes.NODES)}


@pytest.fixture(scope="module")
def expected(schemas: dict[str, Any]) -> Texts:
    return {name: shown(schema) for name, schema in schemas.items()}


def test_chinese_is_the_only_language() -> None:
    """The page falls back to the schema where a language has no text, so English needs no copy."""
    files = sorted(path.relative_to(LOCALES).as_posix() for path in LOCALES.rglob("*.json"))
    assert files == ["zh/main.json", "zh/nodeDefs.json"]  # tests/test_template_words.py: the first


def test_chinese_has_the_same_keys_in_the_same_order(expected: Texts) -> None:
    assert [path for path, _ in leaves(texts("zh"))] == [path for path, _ in leaves(expected)]


def test_chinese_is_translated(expected: Texts) -> None:
    english = dict(leaves(expected))
    for path, text in leaves(texts("zh")):
        assert text.strip() and text != english[path], path
        assert path[-1] == "name" or HAN.search(text), path


def test_chinese_has_words_for_the_values_of_our_own_lists(schemas: dict[str, Any]) -> None:
    """Names of files and of samplers keep their own; so does what is a number or a name."""
    judges = {"style_judge", "subject_judge", "prompt_judge"}
    theirs = (
        {"lora", "projector", "clip_vision", "sampler_name", ("USO_LoadStyle", "name")}
        | judges
        | {("USO_TrainingSet", "folder"), ("USO_Train", "recipe")}
    )
    numbers = {"1/2", "1/4", "1/8", "flux"}
    for node, chinese in read("zh").items():
        for item in schemas[node].inputs:
            words = chinese["inputs"][item.id].get("options", {})
            values = getattr(item, "options", None) or []
            if item.id in theirs or (node, item.id) in theirs:
                values = []
            assert list(words) == [value for value in values if value not in numbers], (node, item.id)
            assert all(HAN.search(word) for word in words.values()), (node, item.id)
            assert len(set(words.values())) == len(words), (node, item.id)


def test_search_words_of_every_language_are_in_the_schemas(schemas: dict[str, Any]) -> None:
    for node, chinese in read("zh").items():
        words = chinese["search_aliases"]
        assert words and set(words) <= set(schemas[node].search_aliases), node
        assert len(set(schemas[node].search_aliases)) == len(schemas[node].search_aliases), node


def test_chinese_keeps_the_words_of_the_lists(schemas: dict[str, Any]) -> None:
    """A list shows its values as `translation (value)`, so a tooltip has to call them by their names."""
    chinese = read("zh")
    for name, schema in schemas.items():
        for item in schema.inputs:
            own = chinese[name]["inputs"][item.id]["tooltip"]
            for option in getattr(item, "options", None) or ():
                word = re.compile(rf"\b{re.escape(str(option))}\b", re.ASCII)
                assert not word.search(item.tooltip) or word.search(own), (name, item.id, option)


def test_no_character_that_the_page_would_read_as_its_own() -> None:
    assert [path for path, text in leaves(texts("zh")) if set(text) & set(READ_BY_THE_PAGE)] == []


def test_texts_name_inputs_by_the_labels_that_the_page_shows(schemas: dict[str, Any], expected: Texts) -> None:
    """In English a label is the input's id; in Chinese no id is shown anywhere."""
    folders = {"clip_vision", "model_patches", "uso_styles", "uso_sets", "uso_training", "attn_mask"}
    ids = {item.id for schema in schemas.values() for item in schema.inputs}
    for node, english in expected.items():
        own = set(english["inputs"]) | folders
        for path, text in leaves(english):
            named = set(re.findall(r"(?<![\w.-])[a-z]+(?:_\w+)+(?![\w.])", text))
            assert path[-1] == "name" or named <= own, (node, path)
    for path, text in leaves(texts("zh")):
        if path[-1] != "name":
            assert not {word for word in re.findall(r"\w+", text, re.ASCII) if "_" in word} & (ids - folders), path
