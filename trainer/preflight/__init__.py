"""What can be known of a run before anything is encoded: `train`, `cache` and `doctor` ask the same questions."""

from .look import Findings, look, require_ready

__all__ = ["Findings", "look", "require_ready"]
