"""Accepted rows as a data set of other formats."""
