"""What USO Reuse References does to a MODEL."""

from __future__ import annotations

from typing import Any

from comfyui_uso.nodes.graph.keys import REUSE
from comfyui_uso.nodes.reuse import ReuseReferences

NEUTRAL = {"form": "linear", "first": 1, "last": 0, "tolerance": 0.0}


def behind(model: Any, *distances: int) -> Any:
    """Return the MODEL of several nodes in a row."""
    for every in distances:
        model = ReuseReferences.execute(model, every=every, **NEUTRAL).result[0]
    return model


def reuses(model: Any) -> int | None:
    """Return how often a MODEL computes references, None where always."""
    settings = model.model_options.get("transformer_options", {}).get(REUSE)
    return None if settings is None else settings.every


def test_of_several_in_a_row_the_last_one_counts(base_model: Any) -> None:
    assert [reuses(behind(base_model, *row)) for row in ((5,), (5, 2), (5, 1), (1, 5), (5, 1, 3))] == [5, 2, None, 5, 3]
    assert reuses(base_model) is None and behind(base_model, 1) is base_model


def test_a_second_node_leaves_the_models_before_it_alone(base_model: Any) -> None:
    first = behind(base_model, 5)
    behind(first, 1)
    behind(first, 2)
    assert reuses(first) == 5


def test_wrappers_are_put_on_once(base_model: Any) -> None:
    counts = [
        {kind: [len(own) for own in keys.values()] for kind, keys in behind(base_model, *row).wrappers.items()}
        for row in ((5,), (5, 1, 3, 2))
    ]
    assert counts[0] == counts[1]
