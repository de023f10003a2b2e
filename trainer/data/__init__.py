"""Triplets on disk to encoded rows."""
