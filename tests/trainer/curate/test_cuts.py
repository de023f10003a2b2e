"""Thresholds fitted to decisions."""

from __future__ import annotations

import numpy as np
import pytest
from comfyui_uso.trainer.curate.choosing.cuts import Cut, Known, fitted, joined, spent
from comfyui_uso.trainer.curate.where import parse_where


def known(seed: int = 0, count: int = 400) -> Known:
    """Rows that are bad by a low `csd`, or by a high `copy` where the layout is shifted; `dust` says nothing."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 8, count)
    layouts = np.where(rng.integers(0, 2, count) == 1, "shifted", "preserved")
    csd = np.where(kind == 0, rng.uniform(0, 0.5, count), rng.uniform(0.4, 1, count))
    copy = np.where((kind == 1) | (layouts == "preserved"), rng.uniform(0.6, 1, count), rng.uniform(0, 0.5, count))
    bad = (kind == 0) | ((kind == 1) & (layouts == "shifted"))
    return Known({"csd": csd, "copy": copy, "dust": rng.uniform(0, 1, count)}, layouts, ~bad)


def test_fits_a_cut_for_each_way_of_being_bad_and_for_the_layout_it_is_bad_in() -> None:
    cuts = fitted(known())
    assert {(cut.score, cut.least, cut.layout) for cut in cuts} == {("csd", True, ""), ("copy", False, "shifted")}
    other = known(1)
    kept = joined(cuts, other)
    assert (~kept)[~other.accept].mean() > 0.85 and kept[other.accept].mean() > 0.9


def test_the_price_of_accepted_rows_moves_the_cuts() -> None:
    dear, cheap = (joined(fitted(known(), price), known()) for price in (20.0, 0.05))
    good = known().accept
    assert dear[good].all() and not cheap[~good].any() and dear.sum() > cheap.sum()


@pytest.mark.parametrize("lost", [0.02, 0.1])
def test_cuts_spend_what_may_be_lost(lost: float) -> None:
    rows = known()
    rows.scores["csd"][np.flatnonzero(rows.accept)[:3]] = np.nan
    kept = joined(spent(fitted(rows), rows, lost), rows)
    assert lost * 0.4 <= 1 - kept[rows.accept].mean() <= lost and (~kept)[~rows.accept].mean() > 0.6


def test_an_expression_means_the_cuts_that_it_is_made_of() -> None:
    rows = known()
    rows.scores["csd"][::7] = np.nan
    cuts = fitted(rows)
    where = parse_where(" and ".join(map(str, cuts)))
    for place, kept in enumerate(joined(cuts, rows)):
        scores = {name: float(values[place]) for name, values in rows.scores.items()}
        assert where.holds({**scores, "layout": str(rows.layouts[place])}) == kept


@pytest.mark.parametrize("layout, text", [("", "csd>=0.5"), ("shifted", "(layout!='shifted' or csd>=0.5)")])
def test_cuts_are_written_as_expressions(layout: str, text: str) -> None:
    assert str(Cut("csd", True, 0.5, layout)) == text


def test_nothing_is_fitted_where_nothing_tells() -> None:
    rng = np.random.default_rng(0)
    dust = Known({"dust": np.full(40, 0.5)}, np.array(["shifted"] * 40), rng.integers(0, 2, 40) == 1)
    assert fitted(dust) == []


def test_no_digit_is_lost_in_an_expression() -> None:
    assert (
        str(Cut("csd", False, 0.123456789)) == "csd<=0.123456789"
        and str(Cut("phash_style", True, 26.0)) == "phash_style>=26"
    )
