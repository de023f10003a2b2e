"""Near duplicates go, the first one stays; and what belongs together is never in two splits."""

from __future__ import annotations

import itertools
from collections import defaultdict

import numpy as np
import pytest
from comfyui_uso.trainer.curate.choosing.choose import Choice, Chosen, drop_duplicates, split
from comfyui_uso.trainer.curate.choosing.duplicates import hash_vectors, leaders
from comfyui_uso.trainer.curate.choosing.splits import Groups, assign
from comfyui_uso.trainer.curate.pictures import Stored
from comfyui_uso.trainer.curate.steps import TARGET, Row
from hypothesis import given
from hypothesis import strategies as st


@given(st.lists(st.integers(0, 5).map(lambda bits: (1 << bits) - 1) | st.integers(0, (1 << 64) - 1), max_size=60))
def test_hashes_are_near_by_the_bits_that_differ(numbers: list[int]) -> None:
    found = leaders(hash_vectors([f"{number:016x}" for number in numbers]), 1 - 2 * 2 / 64)
    expected: list[int] = []
    for place, number in enumerate(numbers):
        before = [one for one in set(expected) if (numbers[one] ^ number).bit_count() <= 2]
        expected.append(min(before, default=place))
    assert found.tolist() == expected


def test_blocks_are_compared_with_those_before(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.random.default_rng(0).normal(size=(90, 8))
    vectors[40:60] = vectors[20:40] + 1e-4
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    whole = leaders(vectors.copy(), 0.9)
    monkeypatch.setattr("comfyui_uso.trainer.curate.choosing.duplicates._AT_ONCE", 90 * 7)
    assert (leaders(vectors.copy(), 0.9) == whole).all()
    assert (whole[40:60] == whole[20:40]).all() and len(leaders(vectors[:0], 0.9)) == 0


NUMBERS = st.integers(0, 20).map(lambda bits: (1 << bits) - 1)


@given(st.lists(st.tuples(NUMBERS, st.booleans()), min_size=1, max_size=20), st.booleans())
def test_what_people_accepted_is_near_no_row_of_another_split(told: list[tuple[int, bool]], by_judge: bool) -> None:
    hashes = [f"{number:016x}" for number, _ in told]
    rows = [
        Chosen(
            Row(f"{place:03}", f"{place:03}", "", "shifted"),
            {TARGET: Stored(f"{place:064x}", 1)},
            "",
            {},
            person,
            "" if by_judge else hashes[place],
        )
        for place, (_, person) in enumerate(told)
    ]
    choice = Choice(list(rows))
    vectors = {one.pictures[TARGET].sha256: vector for one, vector in zip(rows, hash_vectors(hashes), strict=True)}
    drop_duplicates(choice, 4, {"judge": (1 - 2 * 4 / 64, vectors)} if by_judge else {})
    split(choice, (), "validation", 0.5)
    left = {one.row.key: one for one in choice.rows}
    assert {one.row.key for one in rows if one.by_person} <= left.keys()
    for one, other in itertools.combinations(left.values(), 2):
        if (told[int(one.row.key)][0] ^ told[int(other.row.key)][0]).bit_count() <= 4:
            assert one.split == other.split and one.by_person and other.by_person
    assert len(left) + choice.reasons.total() == len(rows)


def test_chains_over_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = [(1 << bits) - 1 for bits in (0, 12, 4, 24, 8, 40, 36)]
    expected = [0, 0, 0, 3, 0, 5, 5]
    vectors = hash_vectors([f"{number:016x}" for number in numbers])
    for size in (1 << 20, 14):
        monkeypatch.setattr("comfyui_uso.trainer.curate.choosing.duplicates._AT_ONCE", size)
        assert leaders(vectors.copy(), 1 - 2 * 4 / 64, len(numbers)).tolist() == expected


ROWS = st.lists(st.tuples(st.integers(0, 30), st.sampled_from("abcdefgh"), st.sampled_from("uvwxyz")), min_size=1)


@given(ROWS, st.floats(0, 1), st.booleans())
def test_no_style_subject_or_picture_is_in_two_splits(
    rows: list[tuple[int, str, str]], share: float, stated: bool
) -> None:
    groups = Groups()
    for picture, style, subject in rows:
        groups.join([("style", style), ("subject", subject), ("picture", picture)])
    found = assign(
        [groups.of(("picture", picture)) for picture, _, _ in rows],
        [style for _, style, _ in rows],
        [("train", "validation")[picture % 2] if stated else "" for picture, _, _ in rows],
        "validation",
        share,
    )
    splits = defaultdict(set)
    for row, into in zip(rows, found, strict=True):
        for kind, value in enumerate(row):
            splits[kind, value].add(into)
    assert all(len(those) == 1 for those in splits.values())


def test_a_set_that_grows_moves_no_row_and_gets_its_share() -> None:
    styles = [f"style {number}" for number in range(400)]
    small = assign(styles[:300], styles[:300], [""] * 300, "validation", 0.1)
    large = assign(styles, styles, [""] * 400, "validation", 0.1)
    assert large[:300] == small and 20 <= small.count("validation") <= 40
    assert assign(styles[:3], styles[:3], [""] * 3, "validation", 1e-9).count("validation") == 1
    assert assign(["one"] * 3, ["one"] * 3, [""] * 3, "validation", 0.5) in (["train"] * 3, ["validation"] * 3)
