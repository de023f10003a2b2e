"""Nodes that make small things out of a seed, for the tests; copied into the server's custom_nodes."""

import json
import os
import threading
import time
import uuid
from pathlib import Path

import comfy.clip_vision
import comfy.model_management
import comfy.model_patcher
import comfy.ops
import comfy.sd
import comfy.supported_models
import comfy.taesd.taesd
import folder_paths
import safetensors.torch
import torch
from comfy_extras.nodes_model_patch import SigLIPMultiFeatProjModel

PARENT = int(os.environ["COMFY_TESTS_PARENT"])


def _end_with_parent():
    while os.getppid() == PARENT:
        time.sleep(1)
    os._exit(1)


if os.name == "posix":  # a killed test run leaves no server behind
    threading.Thread(target=_end_with_parent, daemon=True).start()


def whole(default=0):
    return ("INT", {"default": default, "min": 0, "max": 2**31})


def fill(module, seed, scale=0.05):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
    return module


class Tool:
    CATEGORY = "tests"
    FUNCTION = "make"

    def __init_subclass__(cls, **kwargs):
        inputs = {"required": cls.INPUTS, "optional": getattr(cls, "OPTIONAL", {})}
        cls.INPUT_TYPES = classmethod(lambda _: inputs)


class Prompt(Tool):
    """Made-up text conditioning. `nonce` changes nothing but makes ComfyUI run what depends on it again."""

    INPUTS = {name: whole() for name in ("seed", "tokens", "width", "pooled", "nonce")}
    RETURN_TYPES = ("CONDITIONING",)

    def make(self, seed, tokens, width, pooled, nonce):
        generator = torch.Generator().manual_seed(seed)
        text = torch.randn(1, tokens, width, generator=generator)
        return ([[text, {"pooled_output": torch.randn(1, pooled, generator=generator)}]],)


class Picture(Tool):
    """Smooth random 8-bit pictures, as many as `batch`, also none."""

    INPUTS = {name: whole() for name in ("seed", "width", "height", "batch")}
    RETURN_TYPES = ("IMAGE",)

    def make(self, seed, width, height, batch):
        if batch == 0:
            return (torch.zeros(0, height, width, 3),)
        coarse = torch.rand(batch, 3, 5, 5, generator=torch.Generator().manual_seed(seed))
        smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
        return ((smooth.movedim(1, -1) * 255).round() / 255,)


class Vision(Tool):
    """A vision model with random weights."""

    INPUTS = {name: whole() for name in ("size", "patch", "width", "layers", "heads")}
    OPTIONAL = {"kind": ("STRING", {"default": "siglip_vision_model"})}
    RETURN_TYPES = ("CLIP_VISION",)

    def make(self, size, patch, width, layers, heads, kind="siglip_vision_model"):
        config = {
            "model_type": kind,
            "num_channels": 3,
            "hidden_act": "gelu_pytorch_tanh",
            "hidden_size": width,
            "intermediate_size": 2 * width,
            "image_size": size,
            "patch_size": patch,
            "num_attention_heads": heads,
            "num_hidden_layers": layers,
            "num_patches": (size // patch) ** 2,
            "projection_dim": width,
            "image_mean": [0.5] * 3,
            "image_std": [0.5] * 3,
        }
        path = Path(folder_paths.get_temp_directory()) / f"{uuid.uuid4().hex}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(config))
        vision = comfy.clip_vision.ClipVisionModel(str(path))
        fill(vision.model.to(torch.float32), 5, 0.2)
        return (vision,)


class Projector(Tool):
    """ComfyUI's own style projector, of any size."""

    INPUTS = {name: whole() for name in ("tokens_in", "tokens_out", "dim_in", "dim_out", "seed")}
    RETURN_TYPES = ("MODEL_PATCH",)

    def make(self, tokens_in, tokens_out, dim_in, dim_out, seed):
        sizes = (tokens_in, tokens_out, dim_in, dim_out)
        model = SigLIPMultiFeatProjModel(*sizes, operations=comfy.ops.manual_cast)
        return (patcher(fill(model, seed, 0.3)),)


class OtherPatch(Tool):
    """A MODEL_PATCH that is no projector."""

    INPUTS = {}
    RETURN_TYPES = ("MODEL_PATCH",)

    def make(self):
        return (patcher(torch.nn.Linear(2, 2)),)


class Autoencoder(Tool):
    """A tiny VAE (TAESD) with random weights and FLUX's number of channels."""

    INPUTS = {"channels": whole(16)}
    RETURN_TYPES = ("VAE",)

    def make(self, channels):
        tiny = comfy.taesd.taesd.TAESD(latent_channels=channels)
        fill(tiny, 6, 0.08)
        with torch.no_grad():
            tiny.vae_scale.fill_(1.0)
        return (comfy.sd.VAE(sd=tiny.state_dict()),)


class EmptyLatent(Tool):
    """A LATENT with nothing in its batch."""

    INPUTS = {}
    RETURN_TYPES = ("LATENT",)

    def make(self):
        return ({"samples": torch.zeros(0, 16, 16, 16)},)


FLUX_LIKE = {
    "in_channels": 16,
    "vec_in_dim": 32,
    "context_in_dim": 48,
    "hidden_size": 64,
    "mlp_ratio": 4.0,
    "num_heads": 1,
    "depth": 1,
    "depth_single_blocks": 1,
    "theta": 10000,
    "qkv_bias": True,
}
OTHERS = {
    "SD15": {
        "image_size": 32,
        "in_channels": 4,
        "out_channels": 4,
        "model_channels": 32,
        "num_res_blocks": [1, 1],
        "channel_mult": [1, 1],
        "transformer_depth": [1, 1],
        "transformer_depth_middle": 1,
        "transformer_depth_output": [1, 1, 1, 1],
        "use_spatial_transformer": True,
        "context_dim": 48,
        "num_heads": 2,
        "legacy": False,
        "adm_in_channels": None,
        "use_temporal_attention": False,
        "use_linear_in_transformer": False,
    },
    "Flux2": {
        **FLUX_LIKE,
        "image_model": "flux2",
        "axes_dim": [16] * 4,
        "global_modulation": True,
        "mlp_silu_act": True,
        "out_channels": 16,
        "vec_in_dim": None,
        "qkv_bias": False,
        "ops_bias": False,
        "patch_size": 1,
        "guidance_embed": True,
        "txt_ids_dims": [3],
    },
    "Chroma": {
        **FLUX_LIKE,
        "image_model": "chroma",
        "axes_dim": [16, 24, 24],
        "in_channels": 64,
        "out_channels": 64,
        "in_dim": 64,
        "out_dim": 64,
        "hidden_dim": 64,
        "n_layers": 1,
        "patch_size": 2,
        "vec_in_dim": None,
        "txt_ids_dims": [],
    },
}


class OtherModel(Tool):
    """A small MODEL of another family."""

    INPUTS = {"family": (list(OTHERS),)}
    RETURN_TYPES = ("MODEL",)

    def make(self, family):
        kind = getattr(comfy.supported_models, family)(dict(OTHERS[family]))
        kind.set_inference_dtype(torch.float32, None)
        kind.unet_config["dtype"] = torch.float32
        return (patcher(kind.get_model({})),)


class SaveReferences(Tool):
    """Write the tensors inside the pack's own sockets to a file."""

    INPUTS = {}
    OPTIONAL = {"style": ("USO_STYLE",), "content": ("USO_CONTENT",)}
    RETURN_TYPES = ()
    OUTPUT_NODE = True

    def make(self, style=None, content=None):
        tensors = {} if style is None else {"style": style.tokens}
        tensors |= {f"content{n}": latent for n, latent in enumerate(content.latents if content else ())}
        name = f"{uuid.uuid4().hex}.safetensors"
        safetensors.torch.save_file(
            {key: tensor.contiguous() for key, tensor in tensors.items()},
            str(Path(folder_paths.get_output_directory()) / name),
        )
        return {"ui": {"tensors": [{"filename": name, "subfolder": "", "type": "output"}]}}


def patcher(model):
    device = comfy.model_management.get_torch_device()
    return comfy.model_patcher.CoreModelPatcher(model, load_device=device, offload_device=torch.device("cpu"))


TOOLS = (
    Prompt,
    Picture,
    Vision,
    Projector,
    OtherPatch,
    Autoencoder,
    EmptyLatent,
    OtherModel,
    SaveReferences,
)
NODE_CLASS_MAPPINGS = {f"Test{tool.__name__}": tool for tool in TOOLS}
