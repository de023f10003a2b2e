"""Every key under which this pack puts something: on a conditioning entry, in a model call, in transformer options."""

from __future__ import annotations

__all__ = [
    "AREA",
    "AREA_KEYS",
    "AREA_OF_MASK",
    "ATTENTION",
    "ATTENTION_MASK",
    "CONTENT_BIAS",
    "CONTENT_DIALS",
    "COUNTS",
    "END",
    "GUARD",
    "GUIDANCE",
    "ISOLATED",
    "KEPT",
    "LORAS",
    "METHOD",
    "MODEL_CONDS",
    "PLACES",
    "PLAN",
    "POOLED",
    "READER",
    "READING",
    "REFERENCES",
    "REGIONS",
    "REUSE",
    "RUN",
    "START",
    "STYLE",
    "STYLE_BIAS",
    "STYLE_DIALS",
    "TEXT_BIAS",
    "TEXT_STRENGTH",
    "TURN",
    "UNO_METHOD",
    "UUID",
]

# On a conditioning entry. Other packs may read these and graphs are kept for years: names and values stay as they are.

STYLE = "uso_style"
"""Style tokens, `1 L D`; the same key in a model call and in that call's transformer options."""

COUNTS = "uso_style_counts"
"""Tokens of each style picture, a tuple of ints that adds up to `L`."""

STYLE_DIALS = "uso_style_dials"
"""What is set on each style picture, a tuple of dicts; absent where nothing is set."""

CONTENT_DIALS = "uso_content_dials"
"""What is set on each content reference, likewise."""

TEXT_STRENGTH = "uso_text_strength"
"""Strength of the text tokens, a number; 1 where the entry is to share a batch with another's."""

# On a conditioning entry, ComfyUI's own.

REFERENCES = "reference_latents"
METHOD = "reference_latents_method"
UNO_METHOD = "uxo"
"""ComfyUI's name for UNO's and USO's diagonal positions (UnoPE)."""

MODEL_CONDS = "model_conds"
"""What ComfyUI asks for at every model call: objects of comfy.conds."""

UUID = "uuid"
"""By which caches know an entry of one sampling."""

GUIDANCE = "guidance"
POOLED = "pooled_output"

START, END = "start_percent", "end_percent"
"""The range of an entry, shares of the sampling."""

AREA, AREA_OF_MASK = "area", "set_area_to_bounds"
AREA_KEYS = (AREA, "strength", "mask", "mask_strength", AREA_OF_MASK)
"""Where in the picture an entry counts, and how much."""

# Among an entry's `model_conds`, and in a model call.

GUARD = "uso_guard"
"""On the entries of a CONDITIONING only; the reader takes it out."""

ATTENTION_MASK = "attention_mask"
"""ComfyUI's own."""

PLAN = "uso_plan"
STYLE_BIAS, CONTENT_BIAS, TEXT_BIAS = "uso_style_bias", "uso_content_bias", "uso_text_bias"
REGIONS = "uso_regions"

# In transformer options.

PLACES = "uso_places"
"""Place of each content reference."""

ATTENTION = "uso_attention_inputs"
"""What each block's attention gets."""

RUN = "uso_run"
"""What has happened in this run so far."""

REUSE = "uso_reuse"
"""Settings of reusing references, on a MODEL."""

KEPT = "uso_kept"
"""What one sampling keeps of references."""

TURN = "uso_turn"
"""Whether this call computes the references or reads what was kept of them."""

LORAS = "uso_loras"
"""What this pack's loaders know of the LoRAs with references on a MODEL: a tuple of `trained_lora.Loaded`."""

ISOLATED = "uso_isolated"
"""The isolated references of one sampling."""

READING = "uso_reading"
"""What this call reads of them."""

READER = "uso"
"""Under which our wrappers are filed in a MODEL."""
