"""A procedural world of subjects and styles, from which a miniature of USO is trained."""

from __future__ import annotations

from .captions import VOCABULARY, photo_caption, style_caption
from .render import render_photo, render_style
from .scene import Pose, Scene, sample_scene
from .sheet import contact_sheet
from .styles import STYLES, Style, sample_style
from .subjects import SUBJECTS, Individual
from .triplets import LAYOUTS, Triplet, held_out, sample_triplet, write_manifest

__all__ = [
    "LAYOUTS",
    "STYLES",
    "SUBJECTS",
    "VOCABULARY",
    "Individual",
    "Pose",
    "Scene",
    "Style",
    "Triplet",
    "contact_sheet",
    "held_out",
    "photo_caption",
    "render_photo",
    "render_style",
    "sample_scene",
    "sample_style",
    "sample_triplet",
    "style_caption",
    "write_manifest",
]
