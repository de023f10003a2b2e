"""Names of the files of a data set."""

__all__ = ["MANIFEST", "PICTURES"]

MANIFEST = "manifest.jsonl"
"""Of the manifest that `uso import` writes beside the pictures."""

PICTURES = "pictures"
"""Folder for pictures that `uso import` finds in archives."""
