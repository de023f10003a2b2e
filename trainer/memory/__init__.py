"""How a frozen 12B transformer fits on a GPU."""
