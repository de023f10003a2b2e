"""ComfyUI servers over HTTP, and graphs in API format."""
