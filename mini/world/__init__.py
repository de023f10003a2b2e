"""A procedural world of subjects and styles, from which a miniature of USO is trained."""

from __future__ import annotations

from .captions import VOCABULARY, photo_caption, style_caption
from .colours import ACCENTS as _ACCENTS
from .colours import COLOURS as _COLOURS
from .markings import MARKINGS as _MARKINGS
from .render import render_photo, render_style
from .scene import Pose, Scene, sample_scene
from .sheet import hybrids_sheet, individual_sheet, styles_sheet, subjects_sheet
from .styles import HELD_OUT_STYLES, IMPROVISED, STYLES, TRAINING_STYLES, Style, sample_style
from .subjects import HELD_OUT_SUBJECTS, SUBJECTS, TRAINING_SUBJECTS, Individual
from .triplets import IMPROVISED_SHARE, LAYOUTS, Triplet, sample_triplet

ACCENTS, COLOURS, MARKINGS = tuple(_ACCENTS), tuple(_COLOURS), tuple(_MARKINGS)
"""Names of the traits of individuals."""

__all__ = [
    "ACCENTS",
    "COLOURS",
    "HELD_OUT_STYLES",
    "HELD_OUT_SUBJECTS",
    "IMPROVISED",
    "IMPROVISED_SHARE",
    "LAYOUTS",
    "MARKINGS",
    "STYLES",
    "SUBJECTS",
    "TRAINING_STYLES",
    "TRAINING_SUBJECTS",
    "VOCABULARY",
    "Individual",
    "Pose",
    "Scene",
    "Style",
    "Triplet",
    "hybrids_sheet",
    "individual_sheet",
    "photo_caption",
    "render_photo",
    "render_style",
    "sample_scene",
    "sample_style",
    "sample_triplet",
    "style_caption",
    "styles_sheet",
    "subjects_sheet",
]
