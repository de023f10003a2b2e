"""Graph time: what nodes do before a sampler runs."""
