"""Training from the graph: sets of pictures, and the trainer as a process of its own."""
