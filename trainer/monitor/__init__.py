"""What is looked at during training: pictures, held-out loss, size of the velocity."""

from .build import monitors

__all__ = ["monitors"]
