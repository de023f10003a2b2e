"""What all settings have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["Settings"]


class Settings(BaseModel):
    """Base of every settings class: unknown names and infinite numbers are refused, values cannot change in a run."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
