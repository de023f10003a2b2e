"""Isolated references through ComfyUI's sampler, against the reference code."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from comfyui_uso.nodes.apply import Apply
from comfyui_uso.nodes.graph.dials import Place
from comfyui_uso.uso_model.sampling import Conditioning

from .conftest import content
from .isolated import drawn_by_comfyui, drawn_by_us, latent_in, stock_loaded

TOLERANCE = 1e-4


def noise(batch: int = 1, height: int = 8, width: int = 8) -> torch.Tensor:
    return torch.randn(batch, 16, height, width, generator=torch.Generator().manual_seed(7))


@pytest.fixture(scope="module")
def fresh(make_model: Any) -> Any:
    """Return a MODEL of the shared one's weights that nothing has patched."""
    return make_model()


def side(prompt: Any, batch: int = 1, style: Any = None, subject: Any = None, **more: Any) -> Conditioning:
    """Return a prompt with references as the reference code has it."""
    [[text, values]] = prompt
    rows = (batch, -1, -1)
    return Conditioning(
        txt=text.expand(rows),
        vec=values["pooled_output"].expand(batch, -1),
        style=None if style is None else style.tokens.expand(rows),
        content=[latent_in(part).expand(batch, -1, -1, -1) for part in (subject.latents if subject else ())],
        guidance=values["guidance"],
        isolated=True,
        **more,
    )


REFERENCES = {
    "style": (True, None),
    "content": (False, ((4, 4),)),
    "style and two contents": (True, ((4, 4), (6, 4))),
}


@pytest.mark.parametrize("references", REFERENCES)
@pytest.mark.parametrize(
    ("batch", "cfg", "size", "seed", "strength"),
    [(1, 1.0, (8, 8), 3, 1.0), (2, 3.0, (6, 10), 9, 0.7)],
    ids=["one", "batch, CFG, another prompt, size and strength"],
)
def test_comfyui_draws_what_the_reference_code_draws(
    references: str,
    batch: int,
    cfg: float,
    size: tuple[int, int],
    seed: int,
    strength: float,
    base_model: Any,
    fresh: Any,
    prompt: Any,
    style: Any,
) -> None:
    has_style, sizes = REFERENCES[references]
    chosen = style if has_style else None
    subject = content(*sizes) if sizes else None
    model, *conds = Apply.execute(
        stock_loaded(base_model, strength=strength), prompt(seed), prompt(4), chosen, subject
    ).result
    start = noise(batch, *size)
    sides = [side(prompt(seed), batch, chosen, subject)]
    sides += [side(prompt(4), batch)] if cfg != 1 else []
    expected = drawn_by_us(fresh, model, sides, start, cfg)
    assert (drawn_by_comfyui(model, *conds, start, cfg) - expected).abs().max() < TOLERANCE


def test_references_on_both_sides_and_a_place(base_model: Any, fresh: Any, prompt: Any, style: Any) -> None:
    subject = content((4, 6), place=Place("w"))
    model, *conds = Apply.execute(
        stock_loaded(base_model), prompt(), prompt(4), style, subject, content_on_negative=True, style_on="both"
    ).result
    sides = [side(prompt(seed), 1, style, subject, placement="w") for seed in (3, 4)]
    expected = drawn_by_us(fresh, model, sides, noise(), 3.0)
    assert (drawn_by_comfyui(model, *conds, noise(), 3.0) - expected).abs().max() < TOLERANCE


def test_a_joint_lora_is_drawn_jointly(base_model: Any, prompt: Any, style: Any) -> None:
    from .isolated import isolated_lora

    subject = content((4, 4))
    drawn = {}
    for marked, strength in ((False, 1.0), (True, 1.0), (True, 0.0)):
        loaded = stock_loaded(base_model, isolated_lora(marked=marked), strength)
        model, *conds = Apply.execute(loaded, prompt(), None, style, subject).result
        drawn[marked, strength] = drawn_by_comfyui(model, *conds, noise())
    plain, *conds = Apply.execute(base_model, prompt(), None, style, subject).result
    assert torch.equal(drawn[True, 0.0], drawn_by_comfyui(plain, *conds, noise()))
    assert not torch.allclose(drawn[False, 1.0], drawn[True, 1.0], atol=1e-3)
