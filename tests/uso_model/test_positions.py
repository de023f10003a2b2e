"""Position ids against their definition, for any sizes."""

from __future__ import annotations

import pytest
import torch
from comfyui_uso.uso_model.positions import image_ids, reference_ids, text_ids
from hypothesis import given
from hypothesis import strategies as st

side = st.integers(1, 12)
grid = st.tuples(side, side)


@given(side, side)
def test_image_ids_count_rows_and_columns(rows: int, columns: int) -> None:
    expected = [[0, i, j] for i in range(rows) for j in range(columns)]
    assert image_ids(rows, columns).tolist() == expected
    assert image_ids(rows, columns).dtype == torch.float32


def test_text_ids_are_zero() -> None:
    assert text_ids(5).tolist() == [[0, 0, 0]] * 5


@given(grid, st.lists(grid, max_size=4), st.sampled_from("dhwo"))
def test_references_start_where_the_last_picture_ends(
    target: tuple[int, int], grids: list[tuple[int, int]], placement: str
) -> None:
    row, column = target
    made = reference_ids(target, grids, placement)  # type: ignore[arg-type]
    assert len(made) == len(grids)
    for ids, (rows, columns) in zip(made, grids, strict=True):
        shift = torch.tensor([0, row if placement in "dh" else 0, column if placement in "dw" else 0])
        assert torch.equal(ids - shift, image_ids(rows, columns))
        row, column = row + rows, column + columns


@given(grid, st.lists(grid, min_size=1, max_size=4))
def test_diagonal_pictures_share_no_row_and_no_column(target: tuple[int, int], grids: list[tuple[int, int]]) -> None:
    pictures = [image_ids(*target), *reference_ids(target, grids)]
    for axis in (1, 2):
        used = [set(ids[:, axis].tolist()) for ids in pictures]
        assert sum(map(len, used)) == len(set().union(*used))


def test_unknown_placement_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown placement 'x'"):
        reference_ids((2, 2), [(1, 1)], "x")  # type: ignore[arg-type]
