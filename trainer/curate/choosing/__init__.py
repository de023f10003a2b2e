"""What of a run becomes the data set: duplicates, splits, thresholds."""
