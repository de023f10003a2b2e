"""Drawing with our own sampler: the files of a recipe, and a LoRA and projector that a run has exported."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ....uso_model.errors import UserError
from ....uso_model.images import tensor_pictures
from ....uso_model.packing import PIXELS_PER_LATENT, PIXELS_PER_TOKEN
from ....uso_model.style import StyleFeatures
from ....uso_model.untrusted import named
from ...data.batch import Sample
from ...data.cache import Cache
from ...data.encodings import Encoding, encodings
from ...drawing import Manner, draw_latents
from ...encoders.fingerprint import fingerprint
from ...encoders.open import open_encoders
from ...engine.telling import telling
from ...export.names import PROJECTOR, meant, newest, newest_lora
from ...family import family_of
from ...networks import Networks, build_networks
from ...recipe import TrainConfig
from ...run_folder import CONFIG, open_recipe
from ...starting_files import transformer_file
from ..bench import Row
from .drawer import NOISE, Inputs

__all__ = ["FluxDrawer", "flux_drawer"]


class FluxDrawer:
    """Draws with the networks of a recipe, whichever family they are of."""

    noise = NOISE

    def __init__(self, inputs: Inputs, config: TrainConfig, device: torch.device):
        """Take a recipe whose stage is one that trains nothing of the transformer; see `flux_drawer`."""
        self.batch = inputs.batch or 1
        self._inputs, self._config, self._device = inputs, config, device
        bench = inputs.bench
        self._manner = Manner(bench.steps, bench.guidance, config.monitor.cfg)
        self._encoders = open_encoders(config, device)
        self._kinds = encodings(self._encoders, config.data)
        self._cache = Cache(config.data.cache)
        self._loaded: Networks | None = None

    def describe(self) -> dict[str, Any]:
        """Return the files with short hashes of their contents, and what else decides the pictures."""
        config = self._config
        models = {"transformer": transformer_file(config), "lora": config.models.lora}
        models["projector"] = config.models.projector
        files = {name: {"name": p.name, "hash": fingerprint(p)} for name, p in models.items() if p is not None}
        return {
            "name": "flux",
            "family": family_of(config).name,
            "files": files,
            "encoders": {name: value for name, value in self._encoders.names.items() if name != "descriptor"},
            "settings": {
                "cfg": config.monitor.cfg,
                "style_path": config.conditions.style_path,
                "style_levels": list(config.conditions.style_levels),
                "content_size": config.data.content_size,
                "base": config.memory.base,
                "precision": config.loop.precision,
                "batch": self.batch,
            },
        }

    def prepare(self, rows: Sequence[Row]) -> None:
        """Encode all prompts and references, one encoder after the other, before the transformer is read."""
        kinds, vae = self._kinds, self._config.conditions.style_path == "vae"
        styles = [self._inputs.path(row.style) for row in rows if row.style is not None]
        contents = [self._inputs.path(row.content) for row in rows if row.content is not None]
        texts = [*([""] if self._manner.cfg != 1 else []), *(row.prompt for row in rows)]
        jobs: list[tuple[Encoding, str | Path]] = [(kinds.text, text) for text in dict.fromkeys(texts)]
        jobs += [(kinds.content[False] if vae else kinds.style, path) for path in dict.fromkeys(styles)]
        jobs += [(kinds.content[False], path) for path in dict.fromkeys(contents)]
        with telling("encoding prompts and references") as phase:
            for number, (encoding, what) in enumerate(jobs, start=1):
                if not self._cache.entry(what, encoding.recipe).is_file():
                    self._encoded(encoding, what)
                phase.now = f"encoded {number} of {len(jobs)} prompts and references"
        self._encoders.release()

    def __call__(self, rows: Sequence[Row], samples: Sequence[int], seeds: Sequence[int]) -> list[Image.Image]:
        """Draw; see `Drawer`."""
        networks = self._networks()
        precision = self._config.loop.precision
        dtype = torch.float16 if precision == "fp16" else torch.bfloat16
        encoded = [self._sample(row, networks) for row in rows]
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

    def _sample(self, row: Row, networks: Networks) -> Sample:
        bench, vae = self._inputs.bench, self._config.conditions.style_path == "vae"
        height, width = (side // PIXELS_PER_LATENT for side in (bench.height, bench.width))
        channels = networks.transformer.config.in_channels * PIXELS_PER_LATENT**2 // PIXELS_PER_TOKEN**2
        txt, vec = self._text(row.prompt)
        style = None if row.style is None else self._inputs.path(row.style)
        features = [] if style is None or vae else [self._encoded(self._kinds.style, style)]
        return Sample(
            id=row.id,
            latent=torch.zeros(channels, height, width),
            txt=txt,
            vec=vec,
            styles=tuple(StyleFeatures(**{name: level.float() for name, level in one.items()}) for one in features),
            style_latents=() if style is None or not vae else (self._latent(style),),
            contents=() if row.content is None else (self._latent(self._inputs.path(row.content)),),
        )

    def _text(self, prompt: str) -> tuple[Tensor, Tensor]:
        found = self._encoded(self._kinds.text, prompt)
        return found["txt"].float(), found["vec"].float()

    def _latent(self, path: Path) -> Tensor:
        """Return the mean of a reference's latent: nothing about it is random, as in ComfyUI."""
        return self._encoded(self._kinds.content[False], path)["mean"].float()

    def _encoded(self, encoding: Encoding, what: str | Path) -> dict[str, Tensor]:
        return self._cache.get(what, encoding.recipe, partial(encoding.encode, what))


def flux_drawer(inputs: Inputs) -> FluxDrawer:
    """Return the drawer of a recipe, with a run's LoRA and projector in the place of the recipe's where `files` is set.

    Raises:
        UserError: no recipe, a file is missing, or the bench asks for a size that is not of whole tokens.
    """
    if inputs.recipe is None:
        raise UserError("the drawer flux needs the model's files: name a recipe or a run's folder with --recipe")
    bench = inputs.bench
    if bench.width % PIXELS_PER_TOKEN or bench.height % PIXELS_PER_TOKEN:
        raise UserError(
            f"the bench asks for {bench.width}x{bench.height}, but sides are multiples of {PIXELS_PER_TOKEN}; build it "
            "again with another --size"
        )
    config = open_recipe(inputs.recipe, inputs.texts)
    # A run's folder stands for what it has trained, not for what it began with.
    trained = config.folder if (Path(inputs.recipe) / CONFIG).is_file() else None
    lora, projector = _files(config, inputs.files or trained)
    models = config.models.model_copy(update={"lora": lora, "projector": projector, "new_projector": False})
    # The stage that trains a projector alone adds the LoRA to the weights and freezes the rest: what drawing needs.
    changed = {"stage": "style", "models": models, "reward": None, "prior_preservation": None}
    config = config.model_copy(update=changed)
    if projector is None and config.conditions.style_path == "siglip":
        raise UserError("drawing needs a projector: name its file as models.projector, or a run's with --files")
    return FluxDrawer(inputs, config, torch.device("cuda" if torch.cuda.is_available() else "cpu"))


def _files(config: TrainConfig, folder: Path | None) -> tuple[Path | None, Path | None]:
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
