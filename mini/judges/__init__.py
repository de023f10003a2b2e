"""Judges: networks that name styles and individuals in USO-mini's pictures and took no part in its training."""
