"""Where stylised pictures come from."""
