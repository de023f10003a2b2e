"""USO-mini as an expert of curation."""

from __future__ import annotations

from pathlib import Path

from ..trainer.curate.experts.network import NetworkExpert, network_expert
from ..trainer.curate.recipe import ExpertSettings
from .example_pictures import EXAMPLES

__all__ = ["PHOTO", "RECIPE", "bundled_expert", "bundled_photographer"]

RECIPE = Path(__file__).with_name("recipes") / "expert.yaml"
"""Names the bundled files, where nothing was trained."""

PHOTO = EXAMPLES / "1_content.png"
"""A photograph, as photographs are in the world of USO-mini."""


def bundled_expert(settings: ExpertSettings) -> NetworkExpert:
    """Return an expert that draws with the bundled files; see `network_expert`."""
    return network_expert(settings.model_copy(update={"recipe": settings.recipe or str(RECIPE)}))


def bundled_photographer(settings: ExpertSettings) -> NetworkExpert:
    """Return an expert whose style reference is a photograph, so that it takes pictures out of their style.

    What USO-mini draws of a content reference without a prompt keeps the layout.
    """
    return bundled_expert(settings.model_copy(update={"settings": {"style": str(PHOTO), **settings.settings}}))
