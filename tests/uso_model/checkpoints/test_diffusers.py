"""Hugging Face folders of FLUX.1 load into networks that compute what diffusers computes."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from comfyui_uso.uso_model.checkpoints import CheckpointError, load_autoencoder, load_transformer, write_safetensors
from diffusers import AutoencoderKL, FluxTransformer2DModel


@pytest.fixture
def flux(tmp_path):
    torch.manual_seed(0)
    model = FluxTransformer2DModel(
        patch_size=1,
        in_channels=64,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=128,
        num_attention_heads=2,
        joint_attention_dim=24,
        pooled_projection_dim=16,
        guidance_embeds=True,
        axes_dims_rope=(16, 56, 56),
    ).eval()
    for p in model.parameters():  # the last modulation starts equal in both halves and would hide a swap
        torch.nn.init.normal_(p, std=0.05)
    model.save_pretrained(tmp_path / "flux" / "transformer", max_shard_size="4MB")
    return model, tmp_path / "flux"


@pytest.fixture
def vae(tmp_path):
    torch.manual_seed(1)
    model = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(32, 64, 64),
        layers_per_block=1,
        latent_channels=16,
        norm_num_groups=32,
        use_quant_conv=False,
        use_post_quant_conv=False,
        scaling_factor=0.5,
        shift_factor=0.25,
    ).eval()
    for p in model.parameters():  # fresh norms and biases would hide what is not loaded
        torch.nn.init.normal_(p, std=0.1)
    model.save_pretrained(tmp_path / "vae-of-flux" / "vae")
    return model, tmp_path / "vae-of-flux"


def test_the_transformer(flux):
    theirs, folder = flux
    assert len(list((folder / "transformer").glob("*.safetensors"))) > 1, "several shards"
    ours = load_transformer(folder)
    inputs = {
        "img": torch.randn(1, 6, 64),
        "txt": torch.randn(1, 5, 24),
        "y": torch.randn(1, 16),
        "t": torch.tensor([0.6]),
        "guidance": torch.tensor([4.0]),
    }
    img_ids = torch.tensor([[0.0, i, j] for i in range(2) for j in range(3)])
    with torch.no_grad():
        expected = theirs(
            hidden_states=inputs["img"],
            encoder_hidden_states=inputs["txt"],
            pooled_projections=inputs["y"],
            timestep=inputs["t"],
            guidance=inputs["guidance"],
            img_ids=img_ids,
            txt_ids=torch.zeros(5, 3),
        ).sample
        got = ours(
            inputs["img"], img_ids, inputs["txt"], torch.zeros(5, 3), inputs["t"], inputs["y"], inputs["guidance"]
        )
    assert (got - expected).abs().max() <= 1e-4 and expected.abs().max() > 0.1
    again = load_transformer(folder / "transformer")
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize("guidance_embeds", [True, False])
def test_every_weight_has_its_place(guidance_embeds, tmp_path):
    """The folder of FLUX.1-schnell has no guidance embedder; neither loses or adds a weight."""
    theirs = FluxTransformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=3,
        attention_head_dim=128,
        num_attention_heads=1,
        joint_attention_dim=8,
        pooled_projection_dim=8,
        guidance_embeds=guidance_embeds,
        axes_dims_rope=(16, 56, 56),
    )
    theirs.save_pretrained(tmp_path)
    ours = load_transformer(tmp_path, torch.bfloat16)
    assert ours.config.guidance_embed == guidance_embeds
    assert (ours.config.depth, ours.config.depth_single_blocks) == (1, 3)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())
    assert {p.dtype for p in ours.parameters()} == {torch.bfloat16}


def test_broken_folders_are_refused(flux, tmp_path):
    _, folder = flux
    part = folder / "transformer"
    shards = sorted(part.glob("*.safetensors"))
    index = part / "diffusion_pytorch_model.safetensors.index.json"
    lost = shards[1].rename(tmp_path / "lost")
    with pytest.raises(CheckpointError, match=f"lacks the shard {shards[1].name}; download"):
        load_transformer(folder)
    lost.rename(shards[1])
    told = json.loads(index.read_text())
    told["weight_map"]["transformer_blocks.9.norm1.linear.weight"] = shards[0].name
    index.write_text(json.dumps(told))
    with pytest.raises(CheckpointError, match="lacks 1 key of its index"):
        load_transformer(folder)
    index.unlink()
    with pytest.raises(CheckpointError, match="no index that joins them"):
        load_transformer(folder)
    with pytest.raises(CheckpointError, match=r"has no config\.json with \.safetensors files"):
        load_transformer(tmp_path)


@pytest.mark.parametrize(
    ("dropped", "message"),
    [
        ("single_transformer_blocks.1.attn.to_q.weight", "lacks single_transformer_blocks.1.attn.to_q.weight"),
        ("transformer_blocks.0.attn.add_v_proj.bias", "lacks transformer_blocks.0.attn.add_v_proj.bias"),
        ("norm_out.linear.bias", "lacks norm_out.linear.bias"),
        ("transformer_blocks.1.ff.net.2.weight", "1 missing key .double_blocks.1.img_mlp.2.weight"),
    ],
)
def test_a_missing_weight_is_named(dropped, message, flux, tmp_path):
    theirs, folder = flux
    weights = {name: tensor for name, tensor in theirs.state_dict().items() if name != dropped}
    write_safetensors(tmp_path / "copy/model.safetensors", weights)
    shutil.copy(folder / "transformer/config.json", tmp_path / "copy")
    with pytest.raises(CheckpointError, match=message):
        load_transformer(tmp_path / "copy")
    write_safetensors(tmp_path / "copy/model.safetensors", {**theirs.state_dict(), "extra.weight": torch.ones(1)})
    with pytest.raises(CheckpointError, match=r"1 unknown key \(extra\.weight\)"):
        load_transformer(tmp_path / "copy")


def test_folders_of_other_models(flux, vae):
    with pytest.raises(
        CheckpointError, match=r"not a FLUX\.1 transformer but looks like an autoencoder in the diffusers"
    ):
        load_transformer(vae[1] / "vae")
    with pytest.raises(
        CheckpointError, match=r"not a FLUX\.1 autoencoder but looks like a FLUX model in the diffusers"
    ):
        load_autoencoder(flux[1] / "transformer")


def test_the_autoencoder(vae):
    theirs, folder = vae
    ours = load_autoencoder(folder)
    x, z = torch.rand(1, 3, 16, 16) * 2 - 1, torch.randn(1, 16, 4, 4)
    with torch.no_grad():
        assert torch.allclose(torch.cat(ours.moments(x), 1), theirs.encode(x).latent_dist.parameters, atol=1e-5)
        assert torch.allclose(ours.decode(ours.scale(z)), theirs.decode(z).sample, atol=1e-5)
    assert (ours.config.scale_factor, ours.config.shift_factor) == (0.5, 0.25)
    assert all(
        torch.equal(a, b) for a, b in zip(ours.parameters(), load_autoencoder(folder / "vae").parameters(), strict=True)
    )


def test_an_autoencoder_whose_settings_tell_no_scale(vae):
    config = vae[1] / "vae/config.json"
    told = json.loads(config.read_text())
    config.write_text(json.dumps({**told, "scaling_factor": None, "shift_factor": None}))
    scales = load_autoencoder(vae[1]).config
    assert (scales.scale_factor, scales.shift_factor) == (0.3611, 0.1159)
    config.write_text("{")
    with pytest.raises(CheckpointError, match="is not JSON"):
        load_autoencoder(vae[1])
