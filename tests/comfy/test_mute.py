"""Muted or bypassed in the real page, a node of ours is a reference that is off; a forgotten wire is an error."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from .browser import CHROMIUM
from .server import ComfyError, ComfyServer, Graph, Node

MUTED, BYPASSED = 2, 4

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome is on the PATH"),
]


class Draft(Graph):
    """A graph over USO-mini, the bundled pictures and an empty latent of its own."""

    def __init__(self, loader: str = "USO_LoadMini") -> None:
        super().__init__()
        mini = self.add("USO_LoadMini", lora_strength=1.0)
        self.model, self.clip, self.vae = mini[0], mini[1], mini[2]
        self.vision, self.projector = mini[3], mini[4]
        if loader == "USO_LoadModels":
            choices = {"lora": "auto", "projector": "auto", "clip_vision": "auto", "lora_strength": 1.0}
            found = self.add(loader, model=self.model, **choices)
            self.model, self.projector, self.vision = found[0], found[1], found[2]
        self.example = self.add("USO_Example", name="owl, blueprint")
        self.positive, self.negative = (self.add("CLIPTextEncode", clip=self.clip, text=t)[0] for t in ("a cat", ""))

    def simple(self, style: bool = True, content: bool = True) -> None:
        """Add references by one node each."""
        if style:
            models = {"clip_vision": self.vision, "projector": self.projector}
            self.positive = self.add(
                "USO_StyleReference", conditioning=self.positive, **models, image=self.example[0], strength=1.0
            )[0]
        if content:
            self.positive = self.add(
                "USO_SubjectReference", conditioning=self.positive, vae=self.vae, image=self.example[1], strength=1.0
            )[0]

    def style(self) -> Any:
        """Return a style."""
        features = self.add("USO_EncodeStyle", clip_vision=self.vision, image=self.example[0], fit="squash")
        return self.add("USO_ProjectStyle", features=features[0], projector=self.projector)[0]

    def big(self, style: bool = True, content: bool = True, mix: bool = False) -> None:
        """Add references by the nodes with all dials."""
        given = {}
        if style:
            given["style"] = self.style()
        if mix:
            saved = self.add("USO_SaveStyle", style=given["style"], name="muted", overwrite=True)[0]
            given["style"] = self.add(
                "USO_MixStyles", style_1=saved, style_2=given["style"], mode="concat", weight_1=0.5, weight_2=0.5
            )[0]
        if content:
            sizes = {"long_side": 128, "latent_long_side": 128, "size_rule": "official"}
            given["content"] = self.add("USO_EncodeContent", vae=self.vae, image=self.example[1], **sizes)[0]
        sides = {"positive": self.positive, "negative": self.negative, "content_on_negative": False}
        applied = self.add("USO_Apply", model=self.model, **sides, **given)
        self.model, self.positive, self.negative = applied[0], applied[1], applied[2]

    def draw(self) -> Node:
        """Add the sampler and what saves its latent."""
        sampled = self.add(
            "KSampler",
            model=self.model,
            positive=self.positive,
            negative=self.negative,
            latent_image=self.add("EmptySD3LatentImage", width=128, height=128, batch_size=1)[0],
            seed=5,
            steps=2,
            cfg=2.0,
            sampler_name="euler",
            scheduler="simple",
            denoise=1.0,
        )
        return self.add("SaveLatent", samples=sampled[0], filename_prefix="latents/muted")


def sent(page: Any, graph: Graph, off: str, mode: int) -> dict[str, Any]:
    """Return what the page sends for a graph in which all nodes of a kind are muted or bypassed."""
    page.evaluate("prompt => app.loadApiJson(prompt, 'draft')", graph.nodes)
    turn = "([kind, mode]) => app.graph.nodes.filter(n => n.type === kind).map(n => { n.mode = mode; }).length"
    found = page.evaluate(turn, [off, mode])
    assert found or not off
    return page.evaluate("async () => (await app.graphToPrompt()).output")


def latent(comfy: ComfyServer, prompt: dict[str, Any], saved: Node) -> Tensor:
    """Run a prompt and return what was drawn."""
    graph = Graph()
    graph.nodes = prompt
    return comfy.run(graph).latent(saved)


CASES = [
    ("big", off, mode, kept)
    for off, kept in (
        ("USO_Example", ()),
        ("USO_EncodeStyle", ("content",)),
        ("USO_ProjectStyle", ("content",)),
        ("USO_EncodeContent", ("style",)),
    )
    for mode in (MUTED, BYPASSED)
]
CASES += [
    ("big", "USO_Apply", BYPASSED, ()),
    ("simple", "USO_Example", MUTED, ()),
    ("simple", "USO_Example", BYPASSED, ()),
    ("simple", "USO_StyleReference", BYPASSED, ("content",)),
    ("simple", "USO_SubjectReference", BYPASSED, ("style",)),
]


@pytest.mark.parametrize(("form", "off", "mode", "kept"), CASES)
def test_off_is_as_if_it_were_not_there(
    form: str, off: str, mode: int, kept: tuple[str, ...], page: Any, comfy: ComfyServer
) -> None:
    graph, without = Draft(), Draft()
    getattr(graph, form)()
    getattr(without, form)(**{kind: kind in kept for kind in ("style", "content")})
    saved, expected = graph.draw(), without.draw()
    assert torch.equal(latent(comfy, sent(page, graph, off, mode), saved), comfy.run(without).latent(expected))


@pytest.mark.parametrize(
    ("off", "mode", "left"),
    [
        ("USO_EncodeStyle", MUTED, "nothing"),
        ("USO_EncodeStyle", BYPASSED, "nothing"),
        ("USO_ProjectStyle", MUTED, "nothing"),
        ("USO_MixStyles", MUTED, "nothing"),
        ("USO_MixStyles", BYPASSED, "one"),
        ("USO_SaveStyle", BYPASSED, "mix"),
    ],
)
def test_off_within_a_mix(off: str, mode: int, left: str, page: Any, comfy: ComfyServer) -> None:
    graph, without = Draft(), Draft()
    graph.big(mix=True)
    without.big(style=left != "nothing", mix=left == "mix")
    saved, expected = graph.draw(), without.draw()
    assert torch.equal(latent(comfy, sent(page, graph, off, mode), saved), comfy.run(without).latent(expected))


@pytest.mark.parametrize("form", ["simple", "big"])
def test_the_loader_bypassed_turns_the_style_off(form: str, page: Any, comfy: ComfyServer) -> None:
    graph, without = Draft("USO_LoadModels"), Draft()
    getattr(graph, form)()
    getattr(without, form)(style=False)
    saved, expected = graph.draw(), without.draw()
    prompt = sent(page, graph, "USO_LoadModels", BYPASSED)
    assert torch.equal(latent(comfy, prompt, saved), comfy.run(without).latent(expected))


def test_nothing_is_shown_of_a_reference_that_is_off(page: Any, comfy: ComfyServer) -> None:
    graph = Draft()
    seen = graph.add("USO_EncodeStyle", clip_vision=graph.vision, image=graph.example[0], fit="squash")[1]
    shown = graph.add("PreviewImage", images=seen)
    graph.nodes = sent(page, graph, "USO_Example", MUTED)
    assert shown.id not in comfy.run(graph).outputs


def test_a_subject_that_is_off_leaves_a_square_latent(page: Any, comfy: ComfyServer) -> None:
    graph = Draft()
    reference = graph.add("USO_SubjectReference", conditioning=graph.positive, vae=graph.vae, image=graph.example[1])
    saved = graph.add("SaveLatent", samples=reference[1], filename_prefix="latents/muted")
    assert latent(comfy, sent(page, graph, "USO_Example", MUTED), saved).shape == (1, 16, 16, 16)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("USO_StyleReference", "image"),
        ("USO_StyleReference", "clip_vision"),
        ("USO_StyleReference", "projector"),
        ("USO_SubjectReference", "image"),
        ("USO_EncodeStyle", "image"),
        ("USO_ProjectStyle", "features"),
        ("USO_EncodeContent", "image"),
    ],
)
def test_a_forgotten_wire_is_an_error(kind: str, name: str, page: Any, comfy: ComfyServer) -> None:
    graph = Draft()
    (graph.simple if "Reference" in kind else graph.big)()
    saved = graph.draw()
    for node in graph.nodes.values():
        if node["class_type"] == kind:
            del node["inputs"][name]
    with pytest.raises(ComfyError, match=f"Got nothing as {name}, .*expected .*connect|load"):
        latent(comfy, sent(page, graph, "", MUTED), saved)
