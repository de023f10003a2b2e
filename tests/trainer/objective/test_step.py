"""The flow-matching loss against a plain computation, and the dropout of references."""

from __future__ import annotations

import pytest
import torch
from comfyui_uso.trainer.data.batch import stack_by_shape
from comfyui_uso.trainer.engine.randomness import StepRandom
from comfyui_uso.trainer.networks import Networks
from comfyui_uso.trainer.objective.conditions import drop_conditions
from comfyui_uso.trainer.objective.flow import Draws
from comfyui_uso.trainer.objective.step import flow_matching_loss, flow_matching_term
from comfyui_uso.trainer.recipe import ConditionsConfig, FlowConfig
from comfyui_uso.uso_model.sampling import Conditioning, velocity


def objective(transformer, projector, dropout=0.0, **flow):
    networks = Networks(transformer, projector)
    return flow_matching_term(networks, FlowConfig(**flow), ConditionsConfig(dropout=dropout))


def test_the_loss_of_a_row_is_the_formula(tiny_transformer, tiny_projector, sample):
    row, t = sample(1), torch.tensor([0.7])
    noise = torch.randn(16, 4, 4)
    draws = Draws(t, [noise], torch.tensor([1.0]))
    got = flow_matching_loss(Networks(tiny_transformer, tiny_projector), [row], draws)["rows"]
    style = tiny_projector(type(row.styles[0])(*(level[None] for level in row.styles[0])))
    conditioning = Conditioning(
        txt=row.txt[None], vec=row.vec[None], style=style, content=(row.contents[0][None],), guidance=1.0
    )
    x = 0.3 * row.latent + 0.7 * noise
    v = velocity(tiny_transformer, conditioning)(x[None], t)[0]
    assert torch.allclose(got, (v - (noise - row.latent)).square().mean(), rtol=1e-5)


def test_rows_of_any_shape_go_together(tiny_transformer, tiny_projector, sample):
    rows = [sample(1), sample(2, style=False), sample(3), sample(4, content=False), sample(5, False, False)]
    assert [batch.places for batch in stack_by_shape(rows)] == [[0, 2], [1], [3], [4]]
    loss = objective(tiny_transformer, tiny_projector)
    random = StepRandom(0, 0, 0, 5)
    together = loss.losses(rows, random)
    alone = [loss.losses([row], StepRandom(0, 0, i, 1))["loss"] for i, row in enumerate(rows)]
    assert torch.allclose(together["rows"], torch.stack(alone).detach(), atol=1e-5)
    assert torch.allclose(together["loss"], torch.stack(alone).mean(), atol=1e-5)
    assert {name for name in together if name.startswith("loss_t")} <= {f"loss_t{n}" for n in range(4)}


def test_a_row_draws_the_same_whatever_else_is_drawn(tiny_transformer, tiny_projector, sample):
    """Dropping the content must not change the noise, or runs could not be compared."""
    rows, random = [sample(1)], StepRandom(0, 3, 0, 1)
    kept = objective(tiny_transformer, tiny_projector).losses(rows, random)
    again = objective(tiny_transformer, tiny_projector, guidance=(1.0, 1.0)).losses(rows, random)
    assert torch.equal(kept["loss"], again["loss"])
    assert not torch.equal(
        kept["loss"], objective(tiny_transformer, tiny_projector, dropout=1.0).losses(rows, random)["loss"]
    )


def test_in_half_precision_only_the_network_computes(tiny_transformer, tiny_projector, sample):
    """The loss itself is float32: in bfloat16 the mean of its squares would keep two digits."""
    loss, rows, random = objective(tiny_transformer, tiny_projector), [sample(1), sample(2)], StepRandom(0, 0, 0, 2)
    whole = loss.losses(rows, random)["loss"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = loss.losses(rows, random)
    assert all(value.dtype == torch.float32 for value in half.values())
    assert not torch.equal(half["loss"], half["loss"].bfloat16().float())
    assert not torch.equal(half["loss"], whole) and torch.allclose(half["loss"], whole, rtol=0.02)


N, P = 4000, 0.25


@pytest.mark.parametrize(
    ("mode", "style", "content", "both"),
    [("one_of", 0.125, 0.125, 0), ("independent", 0.25, 0.25, 0.0625)],
)
def test_references_are_dropped_at_the_papers_rate(mode, style, content, both, sample):
    """Both readings, each count inside the 99 % interval of its binomial."""
    row = sample(0)
    kept = [drop_conditions(row, P, mode, StepRandom(0, step, 0, 1).row(0, "dropout")) for step in range(N)]
    counts = {
        "style": sum(not s.styles for s in kept),
        "content": sum(not s.contents for s in kept),
        "both": sum(not s.styles and not s.contents for s in kept),
    }
    for rate, count in zip((style, content, both), counts.values(), strict=True):
        margin = 2.576 * (N * rate * (1 - rate)) ** 0.5
        assert abs(count - N * rate) <= margin, (mode, rate, count)


def test_a_dropped_reference_leaves_the_sequence(sample):
    row = sample(0)
    generator = StepRandom(0, 0, 0, 1).row(0, "dropout")
    gone = drop_conditions(row, 1.0, "independent", generator)
    assert gone.styles == gone.contents == () and torch.equal(gone.txt, row.txt)
    with pytest.raises(ValueError, match="use one_of or independent"):
        drop_conditions(row, 1.0, "sometimes", generator)


def test_several_contents_stand_one_behind_the_other(tiny_transformer, tiny_projector, sample):
    """As in the nodes: positions go on where the reference before ends, so the order of the references matters."""
    row, t = sample(1), torch.tensor([0.7])
    other = torch.randn(16, 6, 2)
    draws = Draws(t, [torch.randn(16, 4, 4)], torch.tensor([1.0]))
    networks = Networks(tiny_transformer, tiny_projector)

    def loss(*contents):
        return flow_matching_loss(networks, [row._replace(contents=contents)], draws)["rows"]

    style = tiny_projector(type(row.styles[0])(*(level[None] for level in row.styles[0])))
    both = (row.contents[0], other)
    conditioning = Conditioning(
        txt=row.txt[None], vec=row.vec[None], style=style, content=[one[None] for one in both], guidance=1.0
    )
    x = 0.3 * row.latent + 0.7 * draws.noise[0]
    v = velocity(tiny_transformer, conditioning)(x[None], t)[0]
    assert torch.allclose(loss(*both), (v - (draws.noise[0] - row.latent)).square().mean(), rtol=1e-5)
    assert not torch.allclose(loss(*both), loss(*both[::-1]), rtol=1e-5)
