"""The table of scores: ranks, columns and notes, and no more rows under the node than fit there."""

from __future__ import annotations

from comfyui_uso.nodes.graph.score_table import counted, ordered, short_table, table

NONE = float("nan")


def test_equal_ones_stay_in_order_and_those_without_a_score_are_last() -> None:
    values = [0.5, NONE, 0.9, 0.5]
    assert ordered(values, best_first=True) == [2, 0, 3, 1]
    assert ordered(values, best_first=False) == [0, 3, 2, 1]


def test_table() -> None:
    text = table({"style": [0.5, NONE], "layout": [-0.25, 1]}, [0, 1], ["a note"])
    assert text.splitlines() == [
        "| rank | picture | style | layout |",
        "| ---: | ------: | ----: | -----: |",
        "|    1 |       0 | 0.500 | -0.250 |",
        "|    2 |       1 |  none |  1.000 |",
        "",
        "- a note",
    ]


def test_few_rows_under_the_node_and_all_notes() -> None:
    values = [number / 100 for number in range(100)]
    lines = short_table({"style": values}, ordered(values, True), ["a note"]).splitlines()
    assert lines[0] == "1. picture 99: style 0.990" and lines[5:] == ["- and 95 more", "- a note"]


def test_many_numbers_are_cut() -> None:
    assert counted([3], 9, "of one colour") == "1 of 9 pictures of one colour: 3."
    assert counted(range(50), 90, "bad").endswith("10, 11 and 38 more.")
