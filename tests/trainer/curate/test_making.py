"""What experts are told and shown: subjects, instructions, sizes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from comfyui_uso.trainer.curate.making.instructions import Instructions, by_hash, read_instructions
from comfyui_uso.trainer.curate.making.reference import size_like
from comfyui_uso.trainer.curate.making.subjects import SHIPPED, Subjects, read_subjects
from comfyui_uso.trainer.curate.recipe import CurateConfig
from comfyui_uso.trainer.curate.rows import rows_of
from comfyui_uso.trainer.curate.sources.source import Picture
from comfyui_uso.trainer.curate.steps import Row
from comfyui_uso.trainer.reading.values import read_yaml, typed
from comfyui_uso.uso_model.errors import UserError
from PIL import Image


def config(**changes: Any) -> CurateConfig:
    values = {"source": {"path": "absent"}, "experts": {"e": {}}, "style": {"expert": "e"}, **changes}
    return CurateConfig.model_validate(values)


def sources(count: int, **about: str) -> list[Picture]:
    return [Picture(f"{number}.png", "1", about, bytes) for number in range(count)]


def test_classes_come_equally_often() -> None:
    classes = {one: name for name, own in read_yaml(SHIPPED).items() for one in own}
    assert len(classes) >= 200 and len(set(classes.values())) >= 10
    rows = list(rows_of(sources(1300), config()))
    counts = Counter(classes[row.subject] for row in rows)
    assert len(rows) == 2600 and len(counts) == len(set(classes.values()))
    expected = len(rows) / len(counts)
    assert all(0.75 * expected < number < 1.25 * expected for number in counts.values()), counts
    assert len({row.subject for row in rows}) > 200
    for first, second in zip(rows[::2], rows[1::2], strict=True):
        assert classes[first.subject] != classes[second.subject], "rows of one picture show different classes"


def test_growth_changes_no_row() -> None:
    few = {row.id: row for row in rows_of(sources(10), config())}
    more = {row.id: row for row in rows_of(sources(40), config(kept=3, shifted=2))}
    assert all(more[id_] == row for id_, row in few.items()) and len(more) == 200


def test_a_longer_list_changes_few_rows() -> None:
    own = [f"thing {letter}" for letter in "abcdefghijklmnopqrst"]
    before, after = (
        [row.subject for row in rows_of(sources(200), config(), Subjects({"all": names}))]
        for names in (own, [*own, "thing new"])
    )
    changed = [new for old, new in zip(before, after, strict=True) if old != new]
    assert 0 < len(changed) < 0.15 * len(before) and set(changed) == {"thing new"}


def test_never_the_targets_own_subject() -> None:
    subjects = read_subjects(["a sleeping cat", "two dogs", "a red fox in snow"])
    for about in ({"subject": "cats"}, {"prompt": "the Cat, on a mat"}, {"prompt": "A red house with cats"}):
        found = {row.subject for row in rows_of(sources(60, **about), config(), subjects)}
        assert found == {"two dogs", "a red fox in snow"}, about
    (last, _) = rows_of(sources(1, subject="a dog, a cat and a fox"), config(), subjects)
    assert last.subject == "", "the step of the style reference rejects it"


def test_lists_of_subjects(tmp_path: Path) -> None:
    text = tmp_path / "subjects.txt"
    text.write_text("# mine\na cat\n\n a dog \n", encoding="utf-8")
    rows = list(rows_of(sources(50), config(style={"expert": "e", "subjects": str(text)})))
    assert {row.subject for row in rows} == {"a cat", "a dog"}
    for content, match in (("", "lists no subject"), ("a: [1]", "expected a list of subjects")):
        file = tmp_path / ("s.yaml" if content else "s.txt")
        file.write_text(content, encoding="utf-8")
        with pytest.raises(UserError, match=match):
            read_subjects(file)
    assert all(not row.subject for row in rows_of(sources(2), config(style=None)))


def test_lists_on_the_command_line() -> None:
    texts = ["style.expert=e", "style.subjects=[a zebra, a kiwi]", "style.instructions=['draw {subject}, x']"]
    found = typed(CurateConfig, texts)
    assert found["style.subjects"] == ["a zebra", "a kiwi"] and found["style.instructions"] == ["draw {subject}, x"]
    texts = ["style.subjects=my [new] list.txt", "style.instructions=stylise", "source.path=[a]"]
    assert list(typed(CurateConfig, texts).values()) == ["my [new] list.txt", "stylise", "[a]"]


def test_a_list_that_is_absent_is_told_of_before_the_first_row() -> None:
    with pytest.raises(UserError, match="absent"):
        rows_of(sources(1), config(style={"expert": "e", "subjects": "absent.txt"}))


def row(number: int, style: str = "") -> Row:
    return Row(f"{number:032x}", "k", "1", "shifted", about={"style": style})


@pytest.mark.parametrize("name", ["stylise", "destylise_kept", "destylise_shifted"])
def test_shipped_instructions(name: str) -> None:
    found = read_instructions("", name)
    told = {found.choose(row(number, "b/Line_Art 3"), "heron") for number in range(60)}
    assert len(told) > 1 and all("heron" in one or "drawn" in one or "draw" in one for one in told)
    assert not any("{" in one for one in told)
    assert found.family("Line_Art 3") == "line art" and found.family("gouache") == "painting"
    assert found.family("") == found.family("nothing known") == "any"
    assert all("subject" in found.choose(row(n)) or n for n in range(3))


def test_own_instructions(tmp_path: Path) -> None:
    assert read_instructions(["draw {subject}"], "stylise").choose(row(1), "a cat") == "draw a cat"
    file = tmp_path / "mine.yaml"
    file.write_text("families: {any: [x], glass: ['{subject} of glass {place}']}\nwords: {glass: [vitrail]}\n")
    with pytest.raises(UserError, match="no list `places`; add it"):
        read_instructions(str(file), "stylise")
    file.write_text(file.read_text() + "places: [in a church]\n")
    assert read_instructions(str(file), "").choose(row(1, "vitrail"), "cat") == "cat of glass in a church"
    wrong = {
        "families: {glass: [x]}": "needs instructions under families: any",
        "families: {any: [x], glas: [y]}": "has the family 'glas', expected one of any, painting",
        "families: {any: ['{subject.__class__}']}": "expected of fields",
        "families: {any: ['{subject']}": "write {{ for a brace",
    }
    for text, match in wrong.items():
        file.write_text(text)
        with pytest.raises(UserError, match=match):
            read_instructions(str(file), "")
    with pytest.raises(
        UserError, match="no instructions 'absent', expected a YAML file, a list, or one of destylise_k"
    ):
        read_instructions("absent", "")


def test_the_hash_follows_the_words() -> None:
    one, other = (read_instructions([text], "") for text in ("draw {subject}", "paint {subject}"))
    assert isinstance(one, Instructions) and one.hash != other.hash
    assert one.hash == read_instructions(["draw {subject}"], "").hash


def test_the_choice_is_even() -> None:
    counts = Counter(by_hash(str(number), ["a", "b", "c", "d"]) for number in range(2000))
    assert all(420 < count < 580 for count in counts.values()), counts


@pytest.mark.parametrize("size", [(100, 100), (300, 200), (64, 640), (1, 1)])
def test_kept_layouts_keep_the_shape(size: tuple[int, int]) -> None:
    width, height = size_like(Image.new("RGB", size), 512, 512)
    assert width % 16 == height % 16 == 0 and abs(width * height / 512**2 - 1) < 0.06
    assert abs(width / height / (size[0] / size[1]) - 1) < 0.06
