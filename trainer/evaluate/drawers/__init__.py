"""Who draws the pictures of a bench: our own sampler, a ComfyUI server, or an object by import path."""
