"""The experiment on USO-mini: runs that differ in one thing, measured by judges, reported with intervals."""
