"""Data sets of other trainers become manifests, one module for each trainer's layouts."""
