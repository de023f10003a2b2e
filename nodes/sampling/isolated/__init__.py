"""Isolated references: computed once for their LoRA, and read by every step of every sampling."""
