"""The vision language model that a recipe names: behind an endpoint, or in a folder."""

from __future__ import annotations

from ..recipe import VlmSettings
from .vlm_endpoint import Endpoint
from .vlm_folder import FolderVlm
from .vlm_model import Vlm

__all__ = ["open_vlm"]


def open_vlm(settings: VlmSettings) -> Vlm:
    """Return the model, which is asked or loaded at the first question.

    Raises:
        UserError: the address, the key or the folder is none.
    """
    return Endpoint(settings) if settings.endpoint else FolderVlm(settings)
