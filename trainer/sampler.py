"""Pictures of prompts and references, drawn with the networks that a recipe names, whichever family they are of."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from ..uso_model.checkpoints import read_lora
from ..uso_model.errors import UserError
from ..uso_model.images import tensor_pictures
from ..uso_model.packing import PIXELS_PER_LATENT, PIXELS_PER_TOKEN
from ..uso_model.style import StyleFeatures
from ..uso_model.untrusted import named
from .data.batch import Sample
from .data.cache import Cache
from .data.encodings import Encoding, Pictured, encodings
from .drawing import Manner, draw_latents
from .encoders.fingerprint import fingerprint
from .encoders.open import open_encoders
from .engine.telling import telling
from .export.names import PROJECTOR, meant, newest, newest_lora
from .family import family_of
from .networks import Networks, build_networks
from .recipe import TrainConfig
from .run_folder import CONFIG, open_recipe
from .starting_files import transformer_file

__all__ = ["Conditions", "Sampler", "sampling_recipe"]


class Conditions(NamedTuple):
    """Of one picture. What is given as a file, or as text, is encoded once for all calls."""

    prompt: str
    style: Pictured | None = None
    content: Pictured | None = None


class Sampler:
    """Draws with the networks of a recipe. Nothing is loaded before it is needed."""

    def __init__(self, config: TrainConfig, steps: int, guidance: float, device: torch.device, kept: bool = True):
        """Take what `sampling_recipe` returns, and whether encoded texts and files are kept in the recipe's cache."""
        self._config, self._device = config, device
        self._manner = Manner(steps, guidance, config.monitor.cfg)
        self._vae = config.conditions.style_path == "vae"
        self._encoders = open_encoders(config, device)
        self._kinds = encodings(self._encoders, config.data)
        self._cache = Cache(config.data.cache) if kept else None
        self._loaded: Networks | None = None

    def describe(self) -> dict[str, Any]:
        """Return the files with short hashes of their contents, and what else decides the pictures."""
        config = self._config
        models = {"transformer": transformer_file(config), "lora": config.models.lora}
        models["projector"] = config.models.projector
        return {
            "family": family_of(config).name,
            "files": {name: {"name": p.name, "hash": fingerprint(p)} for name, p in models.items() if p is not None},
            "encoders": {name: value for name, value in self._encoders.names.items() if name != "descriptor"},
            "settings": {
                "cfg": config.monitor.cfg,
                "style_path": config.conditions.style_path,
                "style_levels": list(config.conditions.style_levels),
                "content_size": config.data.content_size,
                **({"references": "isolated"} if config.conditions.isolated else {}),
                "base": config.memory.base,
                "precision": config.loop.precision,
            },
        }

    def encode(self, wanted: Sequence[Conditions]) -> None:
        """Encode all texts and files, one encoder after the other, and give back the memory of the encoders."""
        kinds, texts = self._kinds, [*([""] if self._manner.cfg != 1 else []), *(one.prompt for one in wanted)]
        styles, contents = ([one.style for one in wanted], [one.content for one in wanted])
        jobs: list[tuple[Encoding, str | Path]] = [(kinds.text, text) for text in dict.fromkeys(texts)]
        jobs += [(kinds.content[False] if self._vae else kinds.style, path) for path in _files_of(styles)]
        jobs += [(kinds.content[False], path) for path in _files_of(contents)]
        with telling("encoding prompts and references") as phase:
            for number, (encoding, what) in enumerate(jobs, start=1):
                if self._cache is None or not self._cache.entry(what, encoding.recipe).is_file():
                    self._encoded(encoding, what)
                phase.now = f"encoded {number} of {len(jobs)} prompts and references"
        self._encoders.release()

    def draw(self, wanted: Sequence[Conditions], seeds: Sequence[int], width: int, height: int) -> list[Image.Image]:
        """Return a picture of each row's conditions.

        Args:
            wanted: what they are drawn of.
            seeds: of each picture's noise.
            width: of all, a multiple of 16.
            height: likewise.
        """
        networks = self._networks()
        precision = self._config.loop.precision
        dtype = torch.float16 if precision == "fp16" else torch.bfloat16
        encoded = [self._sample(one, networks, width, height) for one in wanted]
        with torch.no_grad(), torch.autocast(self._device.type, dtype, enabled=precision != "no"):
            latents = draw_latents(networks, encoded, seeds, self._manner, lambda: self._text(""))
            pixels = self._encoders.decode(latents).float().cpu()
        return tensor_pictures(pixels)

    def _networks(self) -> Networks:
        if self._loaded is None:
            networks = build_networks(self._config, self._device)
            networks.together.requires_grad_(False).eval()
            self._loaded = networks
        return self._loaded

    def _sample(self, wanted: Conditions, networks: Networks, width: int, height: int) -> Sample:
        channels = networks.transformer.config.in_channels * PIXELS_PER_LATENT**2 // PIXELS_PER_TOKEN**2
        txt, vec = self._text(wanted.prompt)
        style = wanted.style
        features = [] if style is None or self._vae else [self._encoded(self._kinds.style, style)]
        return Sample(
            id="",
            latent=torch.zeros(channels, height // PIXELS_PER_LATENT, width // PIXELS_PER_LATENT),
            txt=txt,
            vec=vec,
            styles=tuple(StyleFeatures(**{name: level.float() for name, level in one.items()}) for one in features),
            style_latents=() if style is None or not self._vae else (self._latent(style),),
            contents=() if wanted.content is None else (self._latent(wanted.content),),
        )

    def _text(self, prompt: str) -> tuple[Tensor, Tensor]:
        found = self._encoded(self._kinds.text, prompt)
        return found["txt"].float(), found["vec"].float()

    def _latent(self, what: Pictured) -> Tensor:
        """Return the mean of a reference's latent: nothing about it is random, as in ComfyUI."""
        return self._encoded(self._kinds.content[False], what)["mean"].float()

    def _encoded(self, encoding: Encoding, what: str | Pictured) -> dict[str, Tensor]:
        if self._cache is None or isinstance(what, Image.Image):
            return {name: tensor.detach().cpu() for name, tensor in encoding.encode(what).items()}
        return self._cache.get(what, encoding.recipe, partial(encoding.encode, what))


def _files_of(column: Sequence[Pictured | None]) -> list[Path]:
    return list(dict.fromkeys(one for one in column if isinstance(one, Path)))


def sampling_recipe(recipe: str, texts: Sequence[str], files: Path | None, option: str) -> TrainConfig:
    """Return a recipe as `Sampler` takes it, whose stage trains nothing of the transformer.

    Args:
        recipe: name or file of a recipe, or folder of a run, which stands for what it has trained.
        texts: `name=value` of settings that differ.
        files: folder of a LoRA and projector in the place of the recipe's.
        option: that names `files`, for messages.

    Raises:
        UserError: a file is missing.
    """
    config = open_recipe(recipe, texts)
    # A run's folder stands for what it has trained, not for what it began with.
    trained = config.folder if (Path(recipe) / CONFIG).is_file() else None
    lora, projector = _adapters(config, files or trained)
    models = config.models.model_copy(update={"lora": lora, "projector": projector, "new_projector": False})
    if projector is None and config.conditions.style_path == "siglip":
        raise UserError(f"drawing needs a projector: name its file as models.projector, or a run's with {option}")
    # The stage that trains a projector alone adds the LoRA to the weights and freezes the rest: what drawing needs.
    changed = {"stage": "style", "models": models, "reward": None, "prior_preservation": None}
    # The LoRA says how its references see, whatever recipe it is drawn by; without one they see all.
    isolated = lora is not None and lora.is_file() and read_lora(lora).isolated
    changed["conditions"] = config.conditions.model_copy(update={"isolated": isolated})
    return config.model_copy(update=changed)


def _adapters(config: TrainConfig, folder: Path | None) -> tuple[Path | None, Path | None]:
    """Return LoRA and projector: the newest of an export, else those that the recipe names or its family bundles."""
    family = family_of(config)
    found: dict[str, Path | None] = {}
    for part in ("lora", "projector"):
        path = getattr(config.models, part)
        found[part] = family.bundled(config.models, part) if path is None else meant(path, part)
    if folder is not None:
        lora, projector = newest_lora(folder), newest(folder, PROJECTOR)
        if lora is None and projector is None:
            raise UserError(f"{named(folder)} holds no exported LoRA or projector; make them with `uso export RUN`")
        found["lora"], found["projector"] = lora or found["lora"], projector or found["projector"]
    return found["lora"], found["projector"]
