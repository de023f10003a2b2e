"""Names of the files of a data set."""

__all__ = ["MANIFEST"]

MANIFEST = "manifest.jsonl"
"""Of the manifest that `uso import` writes beside the pictures."""
