"""Sampling time: what happens inside ComfyUI's sampler."""
