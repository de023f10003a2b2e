"""The experiment on the miniature: runs with one thing changed, measured by judges, reported with intervals."""
