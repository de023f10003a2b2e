"""Weight files: read, checked key by key, and written.

| module        | files                                                                     |
|---------------|---------------------------------------------------------------------------|
| `files`       | safetensors on disk: clear refusals, atomic writes                        |
| `refusals`    | what a file is that safetensors refuses                                   |
| `strict`      | loading that accounts for every key                                       |
| `kinds`       | what a file is, told from its keys                                        |
| `sizes`       | sizes of networks, read off names and shapes                              |
| `flux`        | FLUX.1 transformers, BFL names, 8 to 32 bits; `fp8` is its 8-bit part      |
| `diffusers`   | the FLUX.1 networks of Hugging Face folders                                |
| `lora`        | LoRAs in memory: merged and joined                                        |
| `lora_files`  | LoRAs of any layout read, written with USO's or `diffusion_model.*` names |
| `lora_names`  | keys of LoRAs of all layouts                                               |
| `lora_diffusers` | LoRAs with diffusers' names of layers                                   |
| `lora_parts`  | what adapts one layer                                                      |
| `projector`   | the hierarchical style projector                                          |
| `autoencoder` | the FLUX.1 autoencoder                                                    |
"""

from .autoencoder import load_autoencoder, save_autoencoder
from .files import read_metadata, read_safetensors, read_shapes, write_safetensors
from .flux import flux_config_from, from_bfl, load_transformer, save_transformer, to_bfl
from .kinds import kind_of
from .lora import Lora, LowRank, merge_lora
from .lora_files import read_lora, write_diffusion_model_lora, write_uso_lora
from .projector import load_projector, save_projector
from .strict import CheckpointError, load_strict

__all__ = [
    "CheckpointError",
    "Lora",
    "LowRank",
    "flux_config_from",
    "from_bfl",
    "kind_of",
    "load_autoencoder",
    "load_projector",
    "load_strict",
    "load_transformer",
    "merge_lora",
    "read_lora",
    "read_metadata",
    "read_safetensors",
    "read_shapes",
    "save_autoencoder",
    "save_projector",
    "save_transformer",
    "to_bfl",
    "write_diffusion_model_lora",
    "write_safetensors",
    "write_uso_lora",
]
