"""The page on which people look at the rows of a run and decide."""
