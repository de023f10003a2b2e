"""The files that a recipe names: there, of their kind, and made for each other. No values are read."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from ...uso_model.autoencoder import Autoencoder
from ...uso_model.checkpoints import CheckpointError, Lora, read_metadata, read_safetensors
from ...uso_model.checkpoints.autoencoder import open_autoencoder
from ...uso_model.checkpoints.diffusers import part_of, read_folder, transformer_from_tensors
from ...uso_model.checkpoints.flux import flux_config_from, from_bfl, open_flux
from ...uso_model.checkpoints.fp8 import is_auxiliary
from ...uso_model.checkpoints.lora import require_fit
from ...uso_model.checkpoints.lora_files import lora_from_state_dict
from ...uso_model.checkpoints.projector import projector_from_state_dict
from ...uso_model.checkpoints.strict import compare_shapes
from ...uso_model.config import FluxConfig
from ...uso_model.errors import UserError
from ...uso_model.projector import HierarchicalProjector
from ...uso_model.style import style_layers
from ...uso_model.transformer import UsoTransformer
from ...uso_model.untrusted import named
from ..encoders.pretrained import encoder_sizes
from ..export.names import meant
from ..family import family_of
from ..lora.layers import chosen_layers, require_no_modulation
from ..reading.foreign_paths import foreign_path
from ..recipe import TrainConfig
from ..starting_files import lora_file, projector_file, require_same_references, transformer_file

__all__ = ["Sizes", "examine", "missing", "no_paths"]


class Sizes(NamedTuple):
    """What a run starts from, without values; nothing where it could not be told."""

    transformer: UsoTransformer | None
    lora: Lora | None
    """Factors, memory-mapped."""
    layers: list[str]
    """That get branches."""
    projector: HierarchicalProjector | None


def no_paths(config: TrainConfig) -> list[str]:
    """Return what is set to no path of this system: one of another, too long, or with a NUL in it."""
    paths = [(f"models.{name}", path) for name, path in config.models.named_files.items()]
    paths += [("data.manifests", source.path) for source in config.data.sources]
    paths += [("data.cache", config.data.cache), ("loop.run_dir", config.loop.run_dir)]
    paths += [] if config.out is None else [("out", config.out)]
    found = []
    for name, path in paths:
        other = foreign_path(str(path))
        if other is not None:
            found.append(f"{name}: {other}")
            continue
        try:
            path.stat()
        except (OSError, ValueError) as error:
            number = getattr(error, "errno", None)
            if number is None or number in (errno.ENAMETOOLONG, errno.EINVAL, errno.ELOOP):
                reason = getattr(error, "strerror", None) or str(error)
                found.append(f"{name}: {named(path)} is no path ({reason}); correct it")
    return found


def missing(path: Path) -> str | None:
    """Say that nothing is at a path, None where something is."""
    if path.exists():
        return None
    text = str(path)
    if text[:1] in "'\"" and text[:1] == text[-1:]:
        return f"{named(path)} is not there; leave out the quotes"
    return f"{named(path)} is not there; put the file there or correct the path"


def examine(config: TrainConfig, problems: list[str], encoders: bool = True) -> Sizes:
    """Add what is wrong with the files of a recipe to the problems, each with its setting, and return the sizes.

    Args:
        config: the recipe.
        problems: to be added to.
        encoders: look at the encoders' files too.
    """

    def absent(name: str, path: Path | None) -> bool:
        told = None if path is None else missing(meant(path, name))
        if told is not None:
            problems.append(f"models.{name}: {told}")
        return told is not None

    lost = {name for name, path in config.models.named_files.items() if absent(name, path)}
    transformer = None if "transformer" in lost else _transformer(config, problems)
    flux = None if transformer is None else transformer.config
    lora = None if "lora" in lost else _lora(config, transformer, problems)
    layers = _layers(config, flux, lora, problems)
    projector = _projector(config, flux, problems) if "projector" not in lost else None
    if encoders:
        problems += _encoders(config, lost, flux, projector)
    return Sizes(transformer, lora, layers, projector)


def _transformer(config: TrainConfig, problems: list[str]) -> UsoTransformer | None:
    """Return the transformer without values."""
    try:
        path = transformer_file(config)
        if path is None:
            return None
        if path.is_dir():
            folder = part_of(path, "transformer")
            # On the meta device, joining matrices costs nothing.
            stored = {name: tensor.to("meta") for name, tensor in read_folder(folder).items()}
            tensors = transformer_from_tensors(stored, folder.name)
        else:
            tensors = open_flux(path)
        plain = from_bfl({name: tensor for name, tensor in tensors.items() if not is_auxiliary(name)})
        with torch.device("meta"):
            model = UsoTransformer(flux_config_from(plain, path.name))
        compare_shapes({name: t.shape for name, t in model.state_dict().items()}, plain, path.name, "FLUX.1")
    except UserError as error:
        problems.append(f"models.transformer: {error}")
        return None
    return model


def _lora(config: TrainConfig, transformer: UsoTransformer | None, problems: list[str]) -> Lora | None:
    try:
        path = lora_file(config)
        if path is None:
            return None
        lora = lora_from_state_dict(read_safetensors(path), path.name, read_metadata(path))
        require_same_references(config, lora, path.name)
        if transformer is not None and config.stage != "base":
            require_fit(transformer, lora)
    except UserError as error:
        path = config.models.lora
        problems.append(f"models.lora{'' if path is None else f' {named(path)}'}: {error}")
        return None
    return lora


def _layers(config: TrainConfig, flux: FluxConfig | None, lora: Lora | None, problems: list[str]) -> list[str]:
    """Return the layers that get branches."""
    if config.stage != "triplet" or flux is None:
        return []
    try:
        if config.lora.start == "continue":
            layers = [] if lora is None else list(lora.modules)
        else:
            layers = chosen_layers(config.lora, flux)
        if config.memory.modulation == "offloaded":
            require_no_modulation(layers)
    except UserError as error:
        problems.append(str(error))
        return []
    return layers


def _projector(config: TrainConfig, flux: FluxConfig | None, problems: list[str]) -> HierarchicalProjector | None:
    if config.stage == "base" or config.conditions.style_path == "vae":
        return None
    try:
        path = projector_file(config)
        if path is None:
            if flux is None:
                return None
            with torch.device("meta"):
                return family_of(config).fresh_projector(
                    config.models, flux.hidden_size, config.conditions.style_levels
                )
        projector = projector_from_state_dict(read_safetensors(path), path.name).to("meta")
        if flux is not None and projector.dim_out != flux.hidden_size:
            raise CheckpointError(
                f"{path.name} gives tokens of width {projector.dim_out}, but models.transformer is "
                f"{flux.hidden_size} wide; use a projector made for it."
            )
    except UserError as error:
        problems.append(f"models.projector: {error}")
        return None
    return projector


def _encoders(
    config: TrainConfig, lost: set[str], flux: FluxConfig | None, projector: HierarchicalProjector | None
) -> Iterator[str]:
    """Yield what is wrong with the encoders that a recipe names; a family may bring its own."""
    for name, part in (("vae", "vae"), ("t5", "text_encoder_2"), ("clip", "text_encoder"), ("siglip", "image_encoder")):
        path = getattr(config.models, name)
        if path is None or name in lost:
            continue
        try:
            for what, got, expected in _widths(name, part_of(path, part), flux, projector):
                if got != expected:
                    yield f"models.{name}: {path.name} has {what} {got}, expected {expected}; use the one made for it"
        except UserError as error:
            yield f"models.{name}: {error}"


def _widths(
    name: str, path: Path, flux: FluxConfig | None, projector: HierarchicalProjector | None
) -> Iterator[tuple[str, int, int]]:
    """Yield what must be equal: its name, the encoder's number and that of the network that reads it."""
    if name == "vae":
        tensors, sizes = open_autoencoder(path)
        with torch.device("meta"):
            expected = {key: tensor.shape for key, tensor in Autoencoder(sizes).state_dict().items()}
        compare_shapes(expected, tensors, path.name, "FLUX's autoencoder")
        if flux is not None:
            yield "latent channels, in tokens of 2 x 2,", 4 * sizes.z_channels, flux.in_channels
        return
    if name == "t5":
        width = encoder_sizes("t5", path).d_model
        if flux is not None:
            yield "text tokens of width", width, flux.context_in_dim
    elif name == "clip":
        width = encoder_sizes("clip", path).hidden_size
        if flux is not None:
            yield "a pooled text of width", width, flux.vec_in_dim
    else:
        found = encoder_sizes("siglip", path)
        style_layers(found.num_hidden_layers)
        if projector is not None:
            yield "picture tokens of width", found.hidden_size, projector.dim_in
            yield "picture tokens, as many as", (found.image_size // found.patch_size) ** 2, projector.tokens_in
