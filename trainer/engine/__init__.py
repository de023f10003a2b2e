"""The training loop and what makes it trustworthy."""
