"""What all settings have in common."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, ValidatorFunctionWrapHandler
from pydantic_core import InitErrorDetails, PydanticCustomError

__all__ = ["Settings", "either"]

_OTHER_KIND = {"list_type", "model_type", "path_type", "int_type"}
"""What a union complains of for each of its kinds that the value is not of."""


class Settings(BaseModel):
    """Base of every settings class: unknown names and infinite numbers are refused, values cannot change in a run."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def either(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    """Validate a value that may be of several kinds, and complain as the kind does that it is of.

    A wrap validator for unions, of whose errors those of the other kinds would only confuse.
    """
    try:
        return validate(value)
    except ValidationError as error:
        details = error.errors()
        meant = [one for one in details if one["type"] not in _OTHER_KIND]
        meant = meant or [max(details, key=lambda one: len(one["loc"]))]
        lines = [
            InitErrorDetails(
                type=PydanticCustomError(one["type"], one["msg"]),  # type: ignore[arg-type]  # asks for a literal
                loc=one["loc"][1:],
                input=one["input"],
            )
            for one in meant
        ]
        raise ValidationError.from_exception_data(error.title, lines) from error
