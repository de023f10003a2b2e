"""Measures of pictures: style descriptors, likeness, copying."""
