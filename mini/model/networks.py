"""The miniature's networks, read from and written to its files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from transformers import SiglipVisionConfig, SiglipVisionModel

from ...uso_model.checkpoints import merge_lora, read_lora
from ...uso_model.checkpoints.files import read_safetensors, write_safetensors
from ...uso_model.checkpoints.flux import load_transformer
from ...uso_model.checkpoints.projector import load_projector
from ...uso_model.checkpoints.strict import load_strict
from ...uso_model.projector import HierarchicalProjector
from ...uso_model.style import StyleFeatures, select_style_features
from ...uso_model.transformer import UsoTransformer
from .autoencoder import MiniAutoencoder
from .descriptor import MiniDescriptor
from .files import NAMES, WEIGHTS, missing_files, weight_files
from .text import MiniTextEncoder, MiniTokenizer, load_text

__all__ = [
    "MiniEncoders",
    "MiniModels",
    "MiniVision",
    "load_autoencoder",
    "load_descriptor",
    "load_encoders",
    "load_mini",
    "load_vision",
    "save_autoencoder",
    "save_descriptor",
    "save_encoders",
]

Network = TypeVar("Network", bound=nn.Module)

PREFIX = "vision_model."


class MiniVision(nn.Module):
    """A SigLIP vision tower that returns the three style levels."""

    def __init__(self, config: SiglipVisionConfig):
        super().__init__()
        self.config = config
        self.tower = SiglipVisionModel(config)

    @property
    def picture_size(self) -> int:
        """Side of the pictures it reads, in pixels."""
        return int(self.config.image_size)  # type: ignore[arg-type]

    def forward(self, pixels: Tensor) -> tuple[StyleFeatures, Tensor]:
        """Return style features and the last state `B N C` of pictures `b 3 size size` in -1..1."""
        out = self.tower(pixel_values=pixels, output_hidden_states=True)
        return select_style_features(out.hidden_states, self.config.num_hidden_layers), out.last_hidden_state


class MiniEncoders(NamedTuple):
    """The frozen encoders that training and sampling share."""

    autoencoder: MiniAutoencoder
    vision: MiniVision
    tokenizer: MiniTokenizer
    text: MiniTextEncoder


class MiniModels(NamedTuple):
    """Everything that USO-mini consists of."""

    transformer: UsoTransformer
    projector: HierarchicalProjector | None
    """None only where style references go the content's way."""
    encoders: MiniEncoders
    isolated: bool = False
    """Whether references see only themselves; see `uso_model.isolation`."""


def load_mini(folder: Path = WEIGHTS, lora_strength: float = 1.0) -> MiniModels:
    """Read the miniature in float32, its LoRA merged with the given strength (0: the text-to-image base).

    Raises:
        FileNotFoundError: files are missing, named.
    """
    _require(folder, *NAMES)
    files = weight_files(folder)
    transformer = load_transformer(files["flux"], torch.float32)
    lora = read_lora(files["lora"])
    if lora_strength:
        merge_lora(transformer, lora, lora_strength)
    return MiniModels(
        transformer.eval(),
        load_projector(files["projector"]).float().eval(),
        load_encoders(folder),
        lora.isolated and lora_strength != 0,
    )


def load_encoders(folder: Path = WEIGHTS) -> MiniEncoders:
    """Read autoencoder, vision tower and text encoder in float32.

    Raises:
        FileNotFoundError: files are missing, named.
    """
    _require(folder, "autoencoder", "vision", "vision_config", "text", "text_config")
    return MiniEncoders(load_autoencoder(folder), load_vision(folder), *load_text(folder))


def load_autoencoder(folder: Path = WEIGHTS) -> MiniAutoencoder:
    """Read the autoencoder.

    Raises:
        FileNotFoundError: its file is missing.
    """
    return _read(MiniAutoencoder(), folder, "autoencoder")


def load_descriptor(folder: Path = WEIGHTS) -> MiniDescriptor:
    """Read the style descriptor, which only the reward needs.

    Raises:
        FileNotFoundError: its file is missing.
    """
    return _read(MiniDescriptor(), folder, "descriptor")


def load_vision(folder: Path = WEIGHTS) -> MiniVision:
    """Read the vision tower.

    Raises:
        FileNotFoundError: files are missing, named.
    """
    _require(folder, "vision", "vision_config")
    files = weight_files(folder)
    config = json.loads(files["vision_config"].read_text(encoding="utf-8"))
    vision = MiniVision(SiglipVisionConfig(**config))
    weights = {_tower_name(vision, name): tensor.float() for name, tensor in read_safetensors(files["vision"]).items()}
    load_strict(vision.tower, weights, files["vision"].name)
    return vision.eval()


def save_autoencoder(autoencoder: MiniAutoencoder, folder: Path = WEIGHTS) -> None:
    """Write the autoencoder in float16."""
    write_safetensors(weight_files(folder)["autoencoder"], _half(autoencoder))


def save_descriptor(descriptor: MiniDescriptor, folder: Path = WEIGHTS) -> None:
    """Write the style descriptor in float16."""
    write_safetensors(weight_files(folder)["descriptor"], _half(descriptor))


def save_encoders(vision: MiniVision, tokenizer: MiniTokenizer, text: MiniTextEncoder, folder: Path = WEIGHTS) -> None:
    """Write vision tower and text encoder in float16, with the settings that rebuild them."""
    files = weight_files(folder)
    kept = (
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_channels",
        "image_size",
        "patch_size",
        "hidden_act",
        "layer_norm_eps",
        "vision_use_head",
    )
    settings = {name: getattr(vision.config, name) for name in kept if hasattr(vision.config, name)}
    settings |= {"model_type": "siglip_vision_model", "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    _write_json(files["vision_config"], settings)
    tower = {PREFIX + name.removeprefix(PREFIX): tensor for name, tensor in _half(vision.tower).items()}
    write_safetensors(files["vision"], tower)
    t5 = text.config
    _write_json(
        files["text_config"],
        {
            "vocabulary": tokenizer.vocabulary,
            "width": t5.d_model,
            "layers": t5.num_layers,
            "heads": t5.num_heads,
        },
    )
    write_safetensors(files["text"], _half(text))


def _read(network: Network, folder: Path, part: str) -> Network:
    """Load the file of a part into a network, in float32, and return it in evaluation mode."""
    _require(folder, part)
    path = weight_files(folder)[part]
    load_strict(network, {name: tensor.float() for name, tensor in read_safetensors(path).items()}, path.name)
    return network.eval()


def _require(folder: Path, *parts: str) -> None:
    if absent := missing_files(parts, folder):
        raise FileNotFoundError(
            f"USO-mini lacks {', '.join(absent)} in {folder}; restore mini/weights from the repository, or train them "
            "with `uso mini train`"
        )


def _tower_name(vision: MiniVision, name: str) -> str:
    """Return the parameter name of a file's key: transformers 5 dropped the prefix that every published file has."""
    return name if name in vision.tower.state_dict() else name.removeprefix(PREFIX)


def _half(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().half().contiguous().clone() for name, tensor in module.state_dict().items()}


def _write_json(path: Path, settings: dict[str, object]) -> None:
    path.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
