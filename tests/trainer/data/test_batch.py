"""Stacking samples."""

from __future__ import annotations

import torch
from comfyui_uso.trainer.data.batch import Sample, in_order, stack_by_shape
from comfyui_uso.uso_model.style import StyleFeatures


def sample(name, size=4, styles=1, contents=(4,), descriptor=True):
    number = float(ord(name))
    style = StyleFeatures(*(torch.full((2, 3), number) for _ in range(3)))
    return Sample(
        id=name,
        latent=torch.full((16, size, 4), number),
        txt=torch.full((5, 8), number),
        vec=torch.full((8,), number),
        styles=(style,) * styles,
        contents=tuple(torch.full((16, side, 4), number) for side in contents),
        descriptors={"csd": torch.full((7,), number)} if descriptor else {},
    )


def test_rows_of_one_shape_become_one_batch_in_their_order():
    (batch,) = stack_by_shape([sample("a", styles=2), sample("b", styles=2)])
    assert batch.places == [0, 1]
    assert batch.latent.shape == batch.contents[0].shape == (2, 16, 4, 4) and batch.descriptors["csd"].shape == (2, 7)
    assert len(batch.styles) == 2 and batch.styles[0].high.shape == (2, 2, 3)
    rows = [batch.latent, batch.txt, batch.vec, batch.styles[1].low, batch.contents[0], batch.descriptors["csd"]]
    assert all((tensor[0] == ord("a")).all() and (tensor[1] == ord("b")).all() for tensor in rows)


def test_every_difference_makes_a_batch_of_its_own():
    others = [{"size": 6}, {"styles": 0}, {"styles": 2}, {"contents": (6,)}, {"contents": ()}, {"descriptor": False}]
    samples = [sample("a"), *(sample("b", **other) for other in others), sample("c")]
    batches = stack_by_shape(samples)
    assert [batch.places for batch in batches] == [[0, 7], *([n] for n in range(1, 7))]
    assert batches[2].styles == () and batches[5].contents == () and batches[6].descriptors == {}


def test_several_contents_keep_their_order_and_sizes():
    sides = {"a": (4, 6), "b": (6, 4), "c": (4, 6)}
    batches = stack_by_shape([sample(name, contents=each) for name, each in sides.items()])
    assert [batch.places for batch in batches] == [[0, 2], [1]]
    assert [content.shape for content in batches[0].contents] == [(2, 16, 4, 4), (2, 16, 6, 4)]


def test_values_of_batches_go_back_to_their_rows():
    samples = [sample("a"), sample("b", size=6), sample("c"), sample("d", styles=0), sample("e", size=6)]
    batches = stack_by_shape(samples)
    assert len(batches) == 3
    values = in_order(batches, [batch.latent.flatten(1).mean(dim=1) for batch in batches])
    assert values.tolist() == [float(ord(name)) for name in "abcde"]
