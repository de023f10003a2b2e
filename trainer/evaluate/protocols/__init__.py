"""Protocols: which pictures and prompts make a bench."""
