"""The sections of a recipe, one a file."""
