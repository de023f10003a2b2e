"""The error of what a user can cause and mend."""

__all__ = ["UserError"]


class UserError(ValueError):
    """Something that a user gave or set cannot be used: one sentence with what was got, expected and to be done.

    Every other exception that reaches a user is a fault of this package and keeps its traceback.
    """
