"""Measures of pictures: style descriptors, likeness, copying.

Every module loads where only ComfyUI's own requirements are installed; open_clip is imported when a judge that is built
on it is read.
"""

from .judge import Card, Judge, TextJudge, described
from .registry import JUDGES, find_judge, load_judge

__all__ = ["JUDGES", "Card", "Judge", "TextJudge", "described", "find_judge", "load_judge"]
