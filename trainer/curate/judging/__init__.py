"""The steps that score pictures, cheap ones first."""
