"""What a run trained, as files that ComfyUI loads."""
