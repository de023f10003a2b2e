"""Ours = transformers = open_clip = torchmetrics, on random weights of the real architectures."""

from __future__ import annotations

import pytest
import torch
import transformers
from comfyui_uso.uso_model.checkpoints import CheckpointError, write_safetensors
from comfyui_uso.uso_model.images import picture_tensor
from comfyui_uso.uso_model.judging import clip, csd, described, dino, style_encoder
from comfyui_uso.uso_model.judging.clip_layouts import open_clip_layout
from comfyui_uso.uso_model.judging.judge import TextJudge
from comfyui_uso.uso_model.judging.transformers_networks import filled

from .networks import emoji, photographs, randomly, unlike

PICTURES = [*photographs()[2:], *emoji()[1:]]
"""Photographs and emoji, of which one each is not square; the long tests take all of both."""
TEXTS = ["a cat on a coast", "coffee, ukiyo-e", "x " * 200, ""]


def on_meta(make, *arguments, **settings):
    """Return a network of transformers on the meta device, but for the buffers that it computes."""
    with torch.device("meta"):
        network = make(*arguments, **settings)
    for name, buffer in list(network.named_buffers()):
        if name.endswith("position_ids"):
            owner, _, last = name.rpartition(".")
            setattr(network.get_submodule(owner), last, torch.arange(buffer.shape[-1])[None])
    return network


def answer(found) -> torch.Tensor:
    """Return the features, which transformers 5 wraps."""
    return found if isinstance(found, torch.Tensor) else found.pooler_output


def stacked(judge, pictures) -> torch.Tensor:
    return torch.stack([judge.prepare(picture) for picture in pictures])


@pytest.fixture(scope="module")
def theirs():
    """Return transformers' CLIP ViT-B/32, of which the defaults are the sizes."""
    return randomly(on_meta(transformers.CLIPModel, transformers.CLIPConfig()))


@pytest.fixture(scope="module")
def ours(theirs):
    pytest.importorskip("open_clip")
    return clip.clip_from(theirs.state_dict(), "clip.safetensors")


@pytest.fixture(scope="module")
def found(ours):
    return described(ours, PICTURES)


@pytest.fixture(scope="module")
def read(ours):
    with torch.no_grad():
        return ours.embed_texts(TEXTS)


class TestClip:
    def test_pictures_are_transformers(self, ours, theirs, found) -> None:
        with torch.no_grad():
            expected = answer(theirs.get_image_features(stacked(ours, PICTURES)))
        assert unlike(found, expected) < 1e-3
        assert (found - torch.nn.functional.normalize(expected, dim=-1)).abs().max() < 1e-3
        assert torch.allclose(found.norm(dim=1), torch.ones(len(PICTURES)), atol=1e-5)
        assert (found @ found.T).fill_diagonal_(0).max() < 0.9999, "all pictures look alike to these weights"

    @pytest.mark.long
    def test_all_pictures_are_transformers(self, ours, theirs) -> None:
        pictures = photographs() + emoji()
        with torch.no_grad():
            expected = answer(theirs.get_image_features(stacked(ours, pictures)))
        assert unlike(described(ours, pictures), expected) < 1e-3

    def test_texts_are_transformers(self, ours, theirs, read) -> None:
        tokens = ours.tokenizer(TEXTS)
        with torch.no_grad():
            expected = answer(theirs.get_text_features(tokens))
        assert isinstance(ours, TextJudge) and tokens.shape == (len(TEXTS), 77) and tokens[2, -1] == 49407
        assert unlike(read, expected) < 1e-3

    def test_both_are_open_clips(self, ours, found, read) -> None:
        """Its preprocessing, too; its plain ViT-B-32 has the same weights and another activation."""
        open_clip = pytest.importorskip("open_clip")
        settings = {"mean": clip.PREPROCESSING.mean, "std": clip.PREPROCESSING.deviation, "interpolation": "bicubic"}
        prepare = open_clip.image_transform(224, is_train=False, resize_mode="shortest", **settings)
        apart = {}
        for name, some in ((clip.ARCHITECTURE, PICTURES), ("ViT-B-32", PICTURES[:1])):
            with torch.device("meta"):
                network = open_clip.CLIP(**open_clip.get_model_config(name))
            network.load_state_dict(ours.network.state_dict(), assign=True)
            network.attn_mask = ours.network.attn_mask
            with torch.no_grad():
                seen = network.eval().encode_image(torch.stack([prepare(picture) for picture in some]))
                told = network.encode_text(open_clip.tokenize(TEXTS[:1]))
            apart[name] = unlike(found[: len(some)], seen), unlike(read[:1], told)
        assert max(apart[clip.ARCHITECTURE]) < 1e-5
        assert min(apart["ViT-B-32"]) > 1e-5

    @pytest.mark.long
    def test_clip_t_is_torchmetrics(self, ours, theirs, found, read) -> None:
        """Less its factor of 100; long because torchmetrics imports much."""
        multimodal = pytest.importorskip("torchmetrics.functional.multimodal.clip_score")

        class Model(torch.nn.Module):
            config = theirs.config

            def get_image_features(self, pixels):
                return answer(theirs.get_image_features(pixels))

            def get_text_features(self, tokens, mask):
                return answer(theirs.get_text_features(tokens, mask))

        def processor(images=None, text=None, **settings):
            if images is not None:
                return {"pixel_values": stacked(ours, PICTURES[:4])}
            tokens = ours.tokenizer(text)
            return {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}

        pictures = [picture_tensor(picture)[0].byte() for picture in PICTURES[:4]]
        with torch.no_grad():
            expected, count = multimodal._clip_score_update(pictures, TEXTS[:4], Model(), processor)
        assert count == 4 and ((found[:4] * read).sum(dim=-1) - expected / 100).abs().max() < 1e-3

    def test_pixels_have_a_gradient_and_agree(self, ours, found) -> None:
        pixels = picture_tensor(PICTURES[1]).requires_grad_()
        seen = ours(pixels)
        assert unlike(seen.detach(), found[1:2]) < 1e-2
        seen[0, 0].backward()
        assert torch.isfinite(pixels.grad).all() and pixels.grad.abs().sum() > 0
        assert not any(parameter.requires_grad for parameter in ours.parameters())

    def test_what_is_not_all_of_it_is_refused(self, theirs) -> None:
        pytest.importorskip("open_clip")
        weights = theirs.state_dict()
        lost = "vision_model.encoder.layers.3.self_attn.k_proj.bias"
        with pytest.raises(CheckpointError, match=f"some.safetensors lacks one of .*{lost}"):
            clip.clip_from({name: tensor for name, tensor in weights.items() if name != lost}, "some.safetensors")
        for changed, problem in (
            ({"stranger": torch.ones(1)}, "1 unknown key"),
            ({"logit_scale": torch.tensor(float("nan"))}, "has values in logit_scale that are not finite"),
            ({"visual_projection.weight": torch.ones(3)}, "1 misshapen key"),
        ):
            with pytest.raises(CheckpointError, match=problem):
                clip.clip_from({**weights, **changed}, "some.safetensors")


def old_names(name: str) -> str:
    """Return a name of transformers 5 as transformers 4 wrote it, which the published files have."""
    for new, old in (
        ("layers.", "encoder.layer."),
        ("model.layer.", "layer."),
        (".attention.q_proj.", ".attention.attention.query."),
        (".attention.k_proj.", ".attention.attention.key."),
        (".attention.v_proj.", ".attention.attention.value."),
        (".attention.o_proj.", ".attention.output.dense."),
    ):
        name = name.replace(new, old, 1) if new[0] == "." or name.startswith(new) else name
    return name


def vit_names(name: str) -> str:
    return old_names(name).replace(".mlp.fc1.", ".intermediate.dense.").replace(".mlp.fc2.", ".output.dense.")


SMALL = {"hidden_size": 128, "num_attention_heads": 2, "num_hidden_layers": 2}
VITS16 = {"hidden_size": 384, "num_attention_heads": 6, "intermediate_size": 1536}
DINOS = {
    "dino": ("dino", "ViT", VITS16, vit_names),
    "dinov2": ("dinov2", "Dinov2", {**SMALL, "image_size": 518, "patch_size": 14}, old_names),
    "dinov2 registers": ("dinov2", "Dinov2WithRegisters", {**SMALL, "patch_size": 14}, old_names),
    "dinov3": ("dinov3", "DINOv3ViT", {**SMALL, "num_register_tokens": 4}, lambda name: name.removeprefix("model.")),
    "dinov3 plus": (
        "dinov3",
        "DINOv3ViT",
        {**SMALL, "num_register_tokens": 4, "use_gated_mlp": True, "hidden_act": "silu"},
        str,
    ),
}


@pytest.mark.parametrize("case", [*DINOS, pytest.param("dino all pictures", marks=pytest.mark.long)])
def test_dino_is_transformers(case, tmp_path) -> None:
    """From a file with the published names, which no config tells the sizes of."""
    version, family, settings, names = DINOS[case.removesuffix(" all pictures")]
    pictures = photographs() + emoji() if case.endswith("all pictures") else PICTURES[1:3]
    config = getattr(transformers, f"{family}Config")(**settings)
    more = {"add_pooling_layer": False} if family == "ViT" else {}
    network = on_meta(getattr(transformers, f"{family}Model"), config, **more)
    if family == "DINOv3ViT":  # its rotary frequencies are no weights
        network = getattr(transformers, f"{family}Model")(config)
    randomly(network)
    tensors = {names(name): tensor for name, tensor in network.state_dict().items()}
    write_safetensors(tmp_path / "model.safetensors", {**tensors, "pooler.dense.bias": torch.ones(3)}, durable=False)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    assert [name for name in ("dino", "dinov2", "dinov3") if dino.is_dino(name, shapes)] == [version]

    before = torch.random.get_rng_state()
    judge = dino.load_dino(version, tmp_path / "model.safetensors")
    assert torch.equal(before, torch.random.get_rng_state())
    with torch.no_grad():
        expected = network(pixel_values=stacked(judge, pictures)).last_hidden_state[:, 0]
    found = described(judge, pictures)
    assert unlike(found, expected) < 1e-5 and judge.card.name == version
    pixels = picture_tensor(pictures[1]).requires_grad_()
    seen = judge.embed_pixels(pixels)
    seen[0, 0].backward()
    assert unlike(seen.detach(), found[1:2]) < 1e-2 and pixels.grad.abs().sum() > 0


def test_dino_refuses_what_is_none(tmp_path) -> None:
    path = tmp_path / "model.safetensors"
    patches, token = "embeddings.patch_embeddings.projection.weight", torch.ones(1, 1, 100)
    for tensors, problem in (
        ({"a": torch.ones(1)}, "lacks embeddings.patch_embeddings.projection.weight"),
        ({patches: torch.ones(100, 3, 16, 16), "layers.0.mlp.fc1.weight": torch.ones(4, 100)}, "is 100 wide"),
        (
            {
                patches: torch.ones(64, 3, 16, 16),
                "layers.0.mlp.fc1.weight": torch.ones(4, 64),
                "embeddings.position_embeddings": torch.ones(1, 7, 64),
            },
            "has 6 positions, expected a square",
        ),
    ):
        write_safetensors(path, {**tensors, "embeddings.cls_token": token}, durable=False)
        with pytest.raises(CheckpointError, match=problem):
            dino.load_dino("dino", path)
    write_safetensors(path, {"encoder.layer.0.mlp.weights_in.weight": torch.ones(1)})
    with pytest.raises(CheckpointError, match="is DINOv2's giant, which is not read here; use small, base or large"):
        dino.load_dino("dinov2", path)


VITL14 = {"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16, "patch_size": 14}


@pytest.mark.parametrize("layers", [2, pytest.param(24, marks=pytest.mark.long)])
def test_csd_is_transformers_tower(layers, tmp_path, monkeypatch) -> None:
    """Of the real tower's 24 layers all look alike, so that two of them are enough where time is short."""
    open_clip = pytest.importorskip("open_clip")
    settings = open_clip.get_model_config(csd.ARCHITECTURE)
    settings["vision_cfg"]["layers"] = layers
    monkeypatch.setattr(open_clip, "get_model_config", lambda name: settings)
    config = transformers.CLIPVisionConfig(**VITL14, num_hidden_layers=layers)
    tower = randomly(on_meta(transformers.CLIPVisionModel, config))
    named = {f"vision_model.{name.removeprefix('vision_model.')}": t for name, t in tower.state_dict().items()}
    renamed = open_clip_layout(named, "tower")
    weights = {name.replace("visual.", "backbone.", 1): tensor for name, tensor in renamed.items()}
    style = torch.randn(1024, 768, generator=torch.Generator().manual_seed(1))
    path = tmp_path / "csd.safetensors"
    write_safetensors(path, {**weights, csd.STYLE_KEY: style}, durable=False)
    judge, pictures = csd.load_csd(path), PICTURES[::3]
    with torch.no_grad():
        expected = tower(pixel_values=stacked(judge, pictures)).pooler_output @ style
        pixels = judge.embed_pixels(picture_tensor(pictures[1]))
    found = described(judge, pictures)
    assert (found - torch.nn.functional.normalize(expected, dim=-1)).abs().max() < 1e-5
    assert unlike(pixels, found[1:2]) < 1e-2


@pytest.mark.parametrize(("width", "heads", "act"), [(128, 2, "quick_gelu"), (1280, 16, "gelu")])
def test_the_style_encoder_is_transformers(width, heads, act, tmp_path) -> None:
    sizes = {"hidden_size": width, "num_attention_heads": heads, "intermediate_size": 64, "num_hidden_layers": 1}
    config = transformers.CLIPVisionConfig(**sizes, patch_size=14, hidden_act=act, projection_dim=96)
    network = randomly(on_meta(transformers.CLIPVisionModelWithProjection, config))
    path = tmp_path / "style.safetensors"
    extra = {"vision_model.embeddings.position_ids": torch.arange(257)[None]}
    write_safetensors(path, {**network.state_dict(), **extra}, durable=False)
    judge = style_encoder.load_style_encoder(path)
    with torch.no_grad():
        expected = network(pixel_values=stacked(judge, PICTURES[:1])).image_embeds
    found = described(judge, PICTURES[:1])
    assert found.shape == (1, 96) and unlike(found, expected) < 1e-5
    other = "gelu" if act == "quick_gelu" else "quick_gelu"
    (tmp_path / "config.json").write_text(f'{{"hidden_size": {width}, "hidden_act": "{other}"}}', encoding="utf-8")
    changed = style_encoder.load_style_encoder(path)
    assert unlike(described(changed, PICTURES[:1]), expected) > 1e-7
    assert changed.card.preprocessing != judge.card.preprocessing
    (tmp_path / "config.json").write_text(f'{{"hidden_size": {width}, "hidden_act": "magic"}}', encoding="utf-8")
    with pytest.raises(CheckpointError, match="'magic', expected gelu or quick_gelu"):
        style_encoder.load_style_encoder(path)


def test_filling_leaves_nothing_on_the_meta_device() -> None:
    """DINOv3's rotary frequencies are computed, not stored."""
    config = {**SMALL, "num_register_tokens": 1}
    made = transformers.DINOv3ViTModel(transformers.DINOv3ViTConfig(**config)).state_dict()
    settings = {name: value for name, value in config.items() if name != "num_hidden_layers"}

    def make(layers):
        return transformers.DINOv3ViTModel(transformers.DINOv3ViTConfig(**settings, num_hidden_layers=layers))

    network = filled(make, 2, made, "made")
    assert not any(t.is_meta for t in (*network.parameters(), *network.buffers()))
