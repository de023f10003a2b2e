"""One node per reference: equal to the big nodes in everything that reaches the network, in whatever order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import comfy.sample
import pytest
import torch
from comfyui_uso.mini.model import PICTURE_SIZE, missing_files
from comfyui_uso.nodes.apply import Apply
from comfyui_uso.nodes.content import EncodeContent
from comfyui_uso.nodes.load_mini import LoadMini
from comfyui_uso.nodes.reference import StyleReference, SubjectReference
from comfyui_uso.nodes.style import EncodeStyle, ProjectStyle
from comfyui_uso.uso_model.errors import UserError

import nodes as comfy_nodes

pytestmark = pytest.mark.skipif(bool(missing_files()), reason="USO-mini's weights are not in this checkout")

KINDS = ("style", "content")


def pictures(count: int = 1, seed: int = 0) -> torch.Tensor:
    """Return an IMAGE that is not square."""
    return torch.rand(count, 96, 128, 3, generator=torch.Generator().manual_seed(seed))


def half(count: int = 1) -> torch.Tensor:
    """Return a MASK of the left half."""
    mask = torch.zeros(count, 48, 64)
    mask[:, :, :32] = 1
    return mask


SIZES = {"long_side": PICTURE_SIZE, "latent_long_side": PICTURE_SIZE, "size_rule": "official"}


class Graphs:
    """USO-mini, and both ways of putting references on its prompts."""

    def __init__(self) -> None:
        self.model, self.clip, self.vae, self.vision, self.projector = LoadMini.execute(1.0).result

    def prompt(self, text: str = "a red teapot") -> Any:
        """Return CONDITIONING."""
        return comfy_nodes.CLIPTextEncode().encode(self.clip, text)[0]

    def simple(self, conditioning: Any, kind: str, image: Any, **options: Any) -> Any:
        """Add a reference by its one node."""
        if kind == "style":
            return StyleReference.execute(conditioning, self.vision, self.projector, image, **options).result[0]
        return SubjectReference.execute(conditioning, self.vae, image, **options).result[0]

    def big(self, conditioning: Any, kind: str, image: Any, strength: float = 1.0, mask: Any = None) -> Any:
        """Add a reference by the nodes with all dials."""
        if kind == "style":
            features = EncodeStyle.execute(self.vision, image, "squash", mask).result[0]
            given = ProjectStyle.execute(features, self.projector).result[0]
        else:
            given = EncodeContent.execute(
                self.vae, image, PICTURE_SIZE, PICTURE_SIZE, mask, size_rule="official"
            ).result[0]
        dials = {kind: given, f"{kind}_strength": strength}
        return Apply.execute(self.model, conditioning, self.prompt(""), **dials).result[1]

    def draw(self, positive: Any, cfg: float) -> torch.Tensor:
        """Return latents of two steps."""
        empty = torch.zeros(1, 16, 8, 8)
        noise = comfy.sample.prepare_noise(empty, 3)
        negative = self.prompt("")
        return comfy.sample.sample(
            self.model, noise, 2, cfg, "euler", "simple", positive, negative, empty, disable_pbar=True
        )


@pytest.fixture(scope="module")
def graphs() -> Graphs:
    return Graphs()


def same(one: Any, other: Any) -> bool:
    """Whether two conditionings, or parts of them, hold the same values bit by bit."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, Mapping):
        return set(one) == set(other) and all(same(value, other[name]) for name, value in one.items())
    if isinstance(one, Sequence) and not isinstance(one, str):
        return len(one) == len(other) and all(map(same, one, other))
    # The guard of an entry is an object of its own in each.
    return type(one) is type(other) and (one == other or same(vars(one), vars(other)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("strength", [0.5, *(pytest.param(one, marks=pytest.mark.long) for one in (1.0, 2.0))])
@pytest.mark.parametrize("masked", [False, True], ids=["whole", "mask"])
def test_equal_to_the_big_nodes(kind: str, count: int, strength: float, masked: bool, graphs: Graphs) -> None:
    options = {"strength": strength, "mask": half(count) if masked else None}
    simple, big = (add(graphs.prompt(), kind, pictures(count), **options) for add in (graphs.simple, graphs.big))
    assert same(simple, big)
    if masked:
        assert not same(simple, graphs.simple(graphs.prompt(), kind, pictures(count), strength=strength))


@pytest.mark.parametrize(
    "order",
    [pytest.param((a, b), marks=[pytest.mark.long] * (a == b), id=f"{a} then {b}") for a in KINDS for b in KINDS],
)
@pytest.mark.parametrize("cfg", [pytest.param(1.0, marks=pytest.mark.long), 3.0])
def test_two_in_a_row_draw_the_same(order: tuple[str, str], cfg: float, graphs: Graphs) -> None:
    ends = []
    for add in (graphs.simple, graphs.big):
        conditioning = graphs.prompt()
        for seed, (kind, strength) in enumerate(zip(order, (0.5, 1.0), strict=True)):
            conditioning = add(conditioning, kind, pictures(seed=seed), strength=strength)
        ends.append(conditioning)
    assert same(*ends)
    drawn = [graphs.draw(end, cfg) for end in ends]
    assert torch.equal(*drawn)
    assert not torch.equal(drawn[0], graphs.draw(graphs.prompt(), cfg))


@pytest.mark.parametrize("kind", KINDS)
def test_strength_zero_is_the_same_object(kind: str, graphs: Graphs) -> None:
    given = graphs.prompt()
    assert graphs.simple(given, kind, pictures(), strength=0) is given


@pytest.mark.parametrize("kind", KINDS)
def test_what_came_in_is_left_alone(kind: str, graphs: Graphs) -> None:
    given = graphs.prompt()
    before = [(text, dict(values)) for text, values in given]
    graphs.simple(given, kind, pictures())
    assert all(text is old and values == kept for (text, values), (old, kept) in zip(given, before, strict=True))


@pytest.mark.parametrize("strength", [1.0, 0.0])
def test_the_latent_is_that_of_encode_content(strength: float, graphs: Graphs) -> None:
    latent = SubjectReference.execute(graphs.prompt(), graphs.vae, pictures(), strength).result[1]
    expected = EncodeContent.execute(graphs.vae, pictures(), **SIZES).result[1]
    assert same(latent, expected) and latent["samples"].shape == (1, 16, 12, 16)


def test_another_vae_gets_the_official_sizes(graphs: Graphs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(graphs.vae, "uso_picture_size")
    conditioning, latent = SubjectReference.execute(graphs.prompt(), graphs.vae, pictures()).result
    content, expected, _ = EncodeContent.execute(graphs.vae, pictures(), 512, 1024, size_rule="official").result
    assert same(conditioning[0][1]["reference_latents"], content.latents) and same(latent, expected)
    assert latent["samples"].shape == (1, 16, 96, 128)


def test_wrong_models_are_named(graphs: Graphs) -> None:
    with pytest.raises(UserError, match="expected USO's style projector"):
        StyleReference.execute(graphs.prompt(), graphs.vision, graphs.model, pictures())
    with pytest.raises(UserError, match="expected a SigLIP"):
        StyleReference.execute(graphs.prompt(), None, graphs.projector, pictures())
    with pytest.raises(UserError, match="strength"):
        SubjectReference.execute(graphs.prompt(), graphs.vae, pictures(), float("nan"))
