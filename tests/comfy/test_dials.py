"""Every dial on the real server with USO-mini: nothing at neutral, nothing at zero, and one way in between.

What is measured are the drawn pictures: cosines of the style descriptor to the style picture and of the identity judge
to the subject picture, as means over the pictures of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from itertools import pairwise
from typing import Any

import pytest
import torch
from comfyui_uso.mini.demo import examples
from comfyui_uso.mini.judges.networks import load_judges
from comfyui_uso.mini.model import load_autoencoder, load_descriptor
from comfyui_uso.uso_model.config import FLUX_AE
from comfyui_uso.uso_model.images import picture_tensor
from torch import Tensor

from .server import ComfyServer, Graph, Node

STEPS, BATCH = 6, 4
PAIR = "1"
"""Which of the bundled pairs gives style and subject: the one whose subject alone is the least like the style."""
OTHER = "2"
"""Which gives a second style."""

Ref = list[Any]
Draw = Callable[..., Tensor]


@pytest.fixture(autouse=True)
def _no_grad() -> Iterator[None]:
    with torch.inference_mode():
        yield


class Mini(Graph):
    """A graph over USO-mini and the bundled pictures."""

    def __init__(self, comfy: ComfyServer):
        super().__init__()
        self.comfy = comfy
        self.models = self.add("USO_LoadMini", lora_strength=1.0)

    def picture(self, kind: str, name: str) -> Ref:
        data = BytesIO()
        getattr(examples()[name], kind).save(data, "PNG")
        return self.add("LoadImage", image=self.comfy.upload(f"{kind}{name}.png", data.getvalue()))[0]

    def style(self, name: str = PAIR, **levels: Any) -> Ref:
        seen = self.add("USO_EncodeStyle", clip_vision=self.models[3], image=self.picture("style", name), fit="squash")
        return self.add("USO_ProjectStyle", features=seen[0], projector=self.models[4], **levels)[0]

    def content(self, name: str = PAIR, **options: Any) -> Ref:
        picture = self.picture("content", name)
        sizes = {"long_side": 128, "latent_long_side": 128}
        return self.add("USO_EncodeContent", vae=self.models[2], image=picture, **sizes, **options)[0]

    def mask(self, left: bool) -> Ref:
        """Return a mask of one half."""
        whole = self.add("SolidMask", value=0.0, width=128, height=128)[0]
        half = self.add("SolidMask", value=1.0, width=64, height=128)[0]
        return self.add("MaskComposite", destination=whole, source=half, x=0 if left else 64, y=0, operation="add")[0]

    def draw(self, model: Ref | None = None, prompt: str = "", cfg: float = 3.0, **references: Any) -> Node:
        text, empty = (self.add("CLIPTextEncode", clip=self.models[1], text=words)[0] for words in (prompt, ""))
        node = self.add(
            "USO_Apply",
            model=model or self.models[0],
            positive=text,
            negative=empty,
            **{"content_on_negative": False, **references},
        )
        sampled = self.add(
            "KSampler",
            model=node[0],
            positive=node[1],
            negative=node[2],
            latent_image=self.add("EmptySD3LatentImage", width=128, height=128, batch_size=BATCH)[0],
            seed=11,
            steps=STEPS,
            cfg=cfg,
            sampler_name="euler",
            scheduler="simple",
            denoise=1.0,
        )[0]
        return self.add("SaveLatent", samples=sampled, filename_prefix="latents/dials")


@pytest.fixture(scope="module")
def drawn(comfy: ComfyServer) -> Draw:
    """Return a function that draws with a style, a subject and dials, and gives the latents."""

    def draw(style: Any = True, content: Any = True, **dials: Any) -> Tensor:
        graph = Mini(comfy)
        given = {name: value(graph) if callable(value) else value for name, value in dials.items()}
        for name, asked, make in (("style", style, graph.style), ("content", content, graph.content)):
            if asked:
                given[name] = asked(graph) if callable(asked) else make()
        saved = graph.draw(**given)
        return comfy.run(graph).latent(saved)

    return draw


@pytest.fixture(scope="module")
def look() -> Callable[[Tensor], Tensor]:
    """Return a function from latents to pictures `b 3 h w` in -1..1."""
    decoder = load_autoencoder()
    return lambda latents: decoder.decode((latents - FLUX_AE.shift_factor) * FLUX_AE.scale_factor).clamp(-1, 1)


@pytest.fixture(scope="module")
def likeness(look: Callable[[Tensor], Tensor]) -> Callable[..., float]:
    """Return a function that tells how like a style picture drawn latents are."""
    descriptor = load_descriptor()

    def measure(latents: Tensor, name: str = PAIR) -> float:
        return float((descriptor(look(latents)) @ descriptor(picture_tensor(examples()[name].style)).T).mean())

    return measure


@pytest.fixture(scope="module")
def resemblance(look: Callable[[Tensor], Tensor]) -> Callable[..., float]:
    """Return a function that tells how like the subject picture drawn latents are."""
    judge = load_judges()[1]

    def measure(latents: Tensor, name: str = PAIR) -> float:
        return float((judge(look(latents))[0] @ judge(picture_tensor(examples()[name].content))[0].T).mean())

    return measure


def rises(values: list[float]) -> bool:
    """Whether values rise, small dips apart, and the last is clearly above the first."""
    dips = [a - b for a, b in pairwise(values)]
    return max(dips) < 0.03 and values[-1] - values[0] > 0.05


@pytest.mark.parametrize(
    "dials",
    [
        {"style_strength": 1.0, "content_strength": 1.0, "text_strength": 1.0},
        {"style_start": 0.0, "style_end": 1.0, "content_curve": "1, 1"},
        {"style_blocks": "d0-1:1", "content_form": "fast"},
    ],
    ids=["strength", "range", "blocks"],
)
def test_neutral_is_bit_equal(dials: dict[str, Any], drawn: Draw) -> None:
    assert torch.equal(drawn(**dials), drawn())


def test_zero_is_without_the_reference(drawn: Draw) -> None:
    assert torch.equal(drawn(style_strength=0.0), drawn(style=False))
    assert torch.equal(drawn(content_strength=0.0), drawn(content=False))


def test_style_strength(drawn: Draw, likeness: Callable[..., float]) -> None:
    found = [likeness(drawn(style_strength=strength)) for strength in (0.0, 0.1, 0.4, 1.0)]
    assert rises(found), found


def test_content_strength(drawn: Draw, resemblance: Callable[..., float]) -> None:
    found = [resemblance(drawn(content_strength=strength)) for strength in (0.0, 0.1, 0.4, 1.0)]
    assert rises(found), found


def test_fast_form(drawn: Draw, likeness: Callable[..., float]) -> None:
    found = [likeness(drawn(style_strength=strength, style_form="fast")) for strength in (0.0, 0.3, 1.0)]
    assert rises(found), found


def test_range(drawn: Draw, likeness: Callable[..., float]) -> None:
    found = [likeness(drawn(style=end > 0, style_end=end or 1.0)) for end in (0.0, 0.34, 0.67, 1.0)]
    assert rises(found), found


def test_curve(drawn: Draw, likeness: Callable[..., float]) -> None:
    found = [likeness(drawn(style_curve=curve)) for curve in ("0.02", "0.02, 1", "1")]
    assert rises(found), found


def test_blocks(drawn: Draw, likeness: Callable[..., float]) -> None:
    found = [likeness(drawn(style_blocks=text)) for text in ("d0-1:0, s0-3:0", "s0-3:0", "")]
    assert rises(found), found
    assert torch.allclose(drawn(style_blocks="d0-1:0, s0-3:0"), drawn(style=False), atol=1e-3)


def test_region(drawn: Draw, likeness: Callable[..., float]) -> None:
    """A half changes more than the other, and less of the style is there than with the whole."""
    whole, other = drawn(), drawn(style=lambda graph: graph.style(OTHER))
    left = drawn(style_region=lambda graph: graph.mask(left=True))
    bare = drawn(style=False)
    change = (left - bare).abs().mean(dim=(0, 1, 2))
    assert change[:8].mean() > 1.05 * change[8:].mean()  # the picture's tokens hand much of it on to each other
    assert likeness(bare) < likeness(left) < likeness(whole)
    assert likeness(whole) > likeness(other)


def test_levels(drawn: Draw, likeness: Callable[..., float]) -> None:
    def weighed(weight: float) -> Callable[[Mini], Ref]:
        return lambda graph: graph.style(low=weight, mid=weight, high=weight)

    assert torch.equal(drawn(style=weighed(1.0)), drawn())
    found = [likeness(drawn(style=weighed(weight))) for weight in (0.02, 0.3, 1.0)]
    assert rises(found), found
    alone = [drawn(style=lambda graph, level=level: graph.style(**_only(level))) for level in ("low", "mid", "high")]
    assert not torch.equal(alone[0], alone[1]) and not torch.equal(alone[1], alone[2])


def test_level_presets(drawn: Draw, likeness: Callable[..., float]) -> None:
    def preset(name: str) -> Callable[[Mini], Ref]:
        return lambda graph: graph.style(preset=name)

    assert torch.equal(drawn(style=preset("by weight")), drawn())
    assert torch.equal(drawn(style=preset("closest")), drawn())
    found = [likeness(drawn(style=False)), *(likeness(drawn(style=preset(name))) for name in ("loose", "closest"))]
    assert rises(found), found


def _only(level: str) -> dict[str, float]:
    return {name: float(name == level) for name in ("low", "mid", "high")}


def test_fewer_tokens_say_less(drawn: Draw) -> None:
    """Pooled tokens leave a picture nearer to the one without a style."""
    bare = drawn(style=False)
    away = [
        (drawn(style=lambda graph, share=share: graph.style(tokens_per_level=share)) - bare).norm().item()
        for share in ("1/8", "all")
    ]
    assert away[0] < away[1]


@pytest.mark.parametrize("mode", ["concat", "average", "lerp", "slerp"])
def test_mixing(mode: str, drawn: Draw, likeness: Callable[..., float]) -> None:
    def mixed(weight: float) -> Callable[[Mini], Ref]:
        return lambda graph: graph.add(
            "USO_MixStyles",
            style_1=graph.style(OTHER),
            style_2=graph.style(PAIR),
            mode=mode,
            **{f"weight_{n}": 1.0 for n in range(3, 9)},
            weight_1=1.0 - weight,
            weight_2=weight,
        )[0]

    found = [likeness(drawn(style=mixed(weight))) for weight in (0.0, 0.5, 1.0)]
    assert found[0] < found[2], found
    assert torch.equal(drawn(style=mixed(1.0)), drawn())


def test_a_saved_style_draws_the_same(comfy: ComfyServer, drawn: Draw) -> None:
    def saved(graph: Mini) -> Ref:
        return graph.add("USO_SaveStyle", style=graph.style(), name="kept", overwrite=True)[0]

    assert torch.equal(drawn(style=saved), drawn())
    kept = drawn(style=lambda graph: graph.add("USO_LoadStyle", name="kept.safetensors", projector=graph.models[4])[0])
    assert torch.allclose(kept, drawn(), atol=0.05), "kept in float16"


def test_text_strength(drawn: Draw) -> None:
    """The weaker the prompt, the nearer the picture without it."""
    prompt = "a photo of a striped red and blue teapot on a sand floor"
    without = drawn(style=False, prompt=prompt, text_strength=0.0)
    away = [
        (drawn(style=False, prompt=prompt, text_strength=strength) - without).norm().item()
        for strength in (0.05, 0.3, 1.0)
    ]
    assert away == sorted(away)


def test_negative_style_pushes_away(drawn: Draw, likeness: Callable[..., float]) -> None:
    found = [likeness(drawn(style_on=side, content_on_negative=True)) for side in ("negative", "positive")]
    assert found[0] < likeness(drawn(style=False, content_on_negative=True)) < found[1]


def test_batched_draws_what_positive_draws(drawn: Draw) -> None:
    assert torch.allclose(drawn(style_on="positive, batched"), drawn(), atol=1e-3)


def test_lora_blocks(drawn: Draw) -> None:
    """Without the LoRA in any block the model is the base; in between it is in between."""

    def model(blocks: str = "", strength: float = 1.0) -> Callable[[Mini], Ref]:
        return lambda graph: graph.add("USO_LoadMini", lora_strength=strength, lora_blocks=blocks)[0]

    base = drawn(model=model(strength=0.0))
    assert torch.equal(drawn(model=model("d0-1:1")), drawn())
    assert torch.allclose(drawn(model=model("d0-1:0, s0-3:0")), base, atol=1e-4)
    away = [(drawn(model=model(blocks)) - base).norm().item() for blocks in ("d0-1:0, s0-3:0.3", "")]
    assert 0 < away[0] < away[1]


def test_places_and_backgrounds(drawn: Draw) -> None:
    def content(**options: Any) -> Callable[[Mini], Ref]:
        return lambda graph: graph.content(
            **{name: value(graph) if callable(value) else value for name, value in options.items()}
        )

    plain = drawn()
    assert torch.equal(drawn(content=content(placement="diagonal", background="grey")), plain)
    moved = [
        drawn(content=content(**options))
        for options in (
            {"placement": "over"},
            {"row_offset": 4},
            {"mask": lambda graph: graph.mask(left=True), "background": "black"},
        )
    ]
    assert all(not torch.allclose(a, b, atol=1e-2) for i, a in enumerate(moved) for b in [plain, *moved[:i]])


def test_frames(drawn: Draw, resemblance: Callable[..., float]) -> None:
    """Each picture of a batch follows its own frame."""

    def frames(graph: Mini) -> Ref:
        picture = graph.add(
            "ImageBatch", image1=graph.picture("content", PAIR), image2=graph.picture("content", OTHER)
        )[0]
        sizes = {"long_side": 128, "latent_long_side": 128}
        return graph.add("USO_EncodeContent", vae=graph.models[2], image=picture, **sizes, batch="frames")[0]

    out = drawn(style=False, content=frames)
    own, swapped = (resemblance(out[0:1], a) + resemblance(out[1:2], b) for a, b in ((PAIR, OTHER), (OTHER, PAIR)))
    assert own > swapped
