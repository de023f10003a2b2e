"""Triplets to LoRA: data, stages, loop and export; knows neither nodes nor ComfyUI."""
