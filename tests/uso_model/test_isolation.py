"""Isolated references: what they give to be seen depends on nothing but themselves."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from comfyui_uso.uso_model.blocks import DoubleStreamBlock, SingleStreamBlock
from comfyui_uso.uso_model.checkpoints.flux import from_bfl
from comfyui_uso.uso_model.checkpoints.strict import load_strict
from comfyui_uso.uso_model.config import FluxConfig
from comfyui_uso.uso_model.isolation import Isolation
from comfyui_uso.uso_model.math import rotary_table, rotate, timestep_embedding
from comfyui_uso.uso_model.positions import image_ids, reference_ids, text_ids
from comfyui_uso.uso_model.transformer import UsoTransformer
from torch import Tensor
from torch.nn import functional as F

GRIDS = [(2, 3), (3, 2)]


@pytest.fixture
def model(tiny: FluxConfig, tiny_flux: dict[str, Tensor]) -> UsoTransformer:
    model = UsoTransformer(tiny).eval()
    load_strict(model, from_bfl(tiny_flux), "tiny")
    return model


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def references(style: bool = True, content: int = 2, batch: int = 1) -> dict[str, Any]:
    return {
        "style": drawn(batch, 5, 128, seed=20) if style else None,
        "refs": [drawn(batch, rows * columns, 64, seed=30 + n) for n, (rows, columns) in enumerate(GRIDS[:content])],
    }


def others(
    seed: int = 0, grid: tuple[int, int] = (3, 4), t: float = 0.7, guidance: float = 4.0, batch: int = 1
) -> dict[str, Any]:
    return {
        "img": drawn(batch, grid[0] * grid[1], 64, seed=seed),
        "img_ids": image_ids(*grid),
        "txt": drawn(batch, 7, 20, seed=seed + 1),
        "txt_ids": text_ids(7),
        "timesteps": torch.full((batch,), t),
        "y": drawn(batch, 12, seed=seed + 2),
        "guidance": torch.full((batch,), guidance),
    }


def seen_keys(model: UsoTransformer, grid: tuple[int, int], inputs: dict[str, Any]) -> list[tuple[Tensor, Tensor]]:
    """Return references' keys before rotary, and values, of every block of a whole pass."""
    found: list[tuple[Tensor, Tensor]] = []

    def watched(block: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        def show(k: Tensor, v: Tensor) -> None:
            found.append((k, v))

        return tuple(a._replace(watch=show) if isinstance(a, Isolation) else a for a in arguments)

    handles = [m.register_forward_pre_hook(watched) for m in (*model.double_blocks, *model.single_blocks)]
    ids = reference_ids(grid, GRIDS[: len(inputs["refs"])])
    model(**inputs, ref_ids=ids, isolated=True)
    for handle in handles:
        handle.remove()
    return found


@pytest.mark.parametrize(
    "other",
    [{"seed": 5}, {"t": 0.1}, {"guidance": 1.5}, {"grid": (6, 5)}, {"seed": 9, "t": 1.0, "grid": (1, 2)}],
    ids=["prompt and noise", "time", "guidance", "size", "all"],
)
@pytest.mark.parametrize(("style", "content"), [(True, 2), (True, 0), (False, 1)])
@torch.no_grad()
def test_keys_and_values_depend_on_the_references_alone(
    model: UsoTransformer, other: dict[str, Any], style: bool, content: int
) -> None:
    given = references(style, content)
    alone = model.reference_keys(**given, ref_ids=reference_ids((0, 0), GRIDS[:content]))
    assert len(alone) == 3
    for case in ({}, other):
        inputs = {**others(**case), **given}
        within = seen_keys(model, case.get("grid", (3, 4)), inputs)
        for kept, found in zip(alone, within, strict=True):
            for a, b in zip(kept, found, strict=True):
                torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_reference_sees_no_other(model: UsoTransformer) -> None:
    both = references()
    ids = reference_ids((0, 0), GRIDS)
    kept = model.reference_keys(**both, ref_ids=ids)
    style = model.reference_keys(style=both["style"])
    second = model.reference_keys(refs=both["refs"][1:], ref_ids=ids[1:])
    for joint, of_style, of_second in zip(kept, style, second, strict=True):
        for a, b, c in zip(joint, of_style, of_second, strict=True):
            torch.testing.assert_close(a[:, :, :5], b, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(a[:, :, 11:], c, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_the_velocity_is_that_of_attention_over_kept_keys(model: UsoTransformer) -> None:
    """The pass over text and image alone, with the references' keys and values put in from outside."""
    given, inputs, grid = references(batch=2), others(batch=2), (3, 4)
    inputs["timesteps"] = torch.tensor([0.9, 0.3])
    ids = reference_ids(grid, GRIDS)
    expected = model(**inputs, **given, ref_ids=ids, isolated=True)
    kept = iter(model.reference_keys(**given, ref_ids=reference_ids((0, 0), GRIDS)))
    own, theirs = table(model, inputs["txt_ids"], inputs["img_ids"]), table(model, text_ids(5), *ids)

    def over_kept(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        ref_k, ref_v = next(kept)
        keys = torch.cat([rotate(k, own), rotate(ref_k, theirs)], dim=2)
        x = F.scaled_dot_product_attention(rotate(q, own), keys, torch.cat([v, ref_v], dim=2))
        return x.transpose(1, 2).flatten(2)

    found = by_hand(model, model.img_in(inputs["img"]), model.txt_in(inputs["txt"]), inputs, over_kept)
    assert (found - expected).abs().max() <= 1e-5
    assert (found - model(**inputs, **given, ref_ids=ids)).abs().max() > 1e-2  # the joint network is another


@torch.no_grad()
def test_the_joint_pass_is_the_formula_bit_for_bit(model: UsoTransformer) -> None:
    """Nothing of isolation touches a pass without it."""
    inputs, given, ids = others(), references(), reference_ids((3, 4), GRIDS)
    pe = table(model, text_ids(5), inputs["txt_ids"], inputs["img_ids"], *ids)

    def over_all(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(rotate(q, pe), rotate(k, pe), v).transpose(1, 2).flatten(2)

    txt = torch.cat([given["style"], model.txt_in(inputs["txt"])], dim=1)
    img = torch.cat([model.img_in(part) for part in (inputs["img"], *given["refs"])], dim=1)
    found = by_hand(model, img, txt, inputs, over_all)[:, :12]
    assert torch.equal(model(**inputs, **given, ref_ids=ids), found)


@torch.no_grad()
def test_without_references_nothing_is_isolated(model: UsoTransformer) -> None:
    assert torch.equal(model(**others(), isolated=True), model(**others()))


@torch.no_grad()
def test_no_reference_is_refused(model: UsoTransformer) -> None:
    with pytest.raises(ValueError, match="got no reference"):
        model.reference_keys()
    with pytest.raises(ValueError, match="positions"):
        model.reference_keys(refs=references()["refs"])


def table(model: UsoTransformer, *ids: Tensor) -> Tensor:
    return rotary_table(torch.cat(ids)[None], model.config.axes_dim, model.config.theta)


def by_hand(model: UsoTransformer, img: Tensor, txt: Tensor, inputs: dict[str, Any], attend: Any) -> Tensor:
    """Return the velocity of all tokens of the image stream, with attention from outside."""
    vec = model.time_in(timestep_embedding(inputs["timesteps"], 256))
    vec = vec + model.guidance_in(timestep_embedding(inputs["guidance"], 256)) + model.vector_in(inputs["y"])
    for block in model.double_blocks:
        img, txt = double_over(block, img, txt, vec, attend)
    x = torch.cat([txt, img], dim=1)
    for block in model.single_blocks:
        x = single_over(block, x, vec, attend)
    return model.final_layer(x[:, txt.shape[1] :], vec)


def double_over(block: DoubleStreamBlock, img: Tensor, txt: Tensor, vec: Tensor, attend: Any) -> tuple[Tensor, Tensor]:
    (img1, img2), (txt1, txt2) = block.img_mod(vec), block.txt_mod(vec)
    of_img = block.img_attn.heads(img1.apply(block.img_norm1(img)))
    of_txt = block.txt_attn.heads(txt1.apply(block.txt_norm1(txt)))
    seen = attend(*(torch.cat(pair, dim=2) for pair in zip(of_txt, of_img, strict=True)))
    txt = txt + txt1.gate * block.txt_attn.proj(seen[:, : txt.shape[1]])
    img = img + img1.gate * block.img_attn.proj(seen[:, txt.shape[1] :])
    img = img + img2.gate * block.img_mlp(img2.apply(block.img_norm2(img)))
    return img, txt + txt2.gate * block.txt_mlp(txt2.apply(block.txt_norm2(txt)))


def single_over(block: SingleStreamBlock, x: Tensor, vec: Tensor, attend: Any) -> Tensor:
    (mod,) = block.modulation(vec)
    inner = mod.apply(block.pre_norm(x))
    q, k, v = block.linear1_qkv(inner).unflatten(-1, (3, block.num_heads, -1)).permute(2, 0, 3, 1, 4)
    seen = attend(*block.norm(q, k, v), v)
    mlp = F.gelu(block.linear1_mlp(inner), approximate="tanh")
    return x + mod.gate * block.linear2(torch.cat([seen, mlp], dim=-1))
