"""What draws: ComfyUI, our own networks, any command."""
