"""A model to numbers: benches built, drawn, scored, reported and compared."""
