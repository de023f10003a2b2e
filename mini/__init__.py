"""USO-mini: the procedural world, the recipe that trains every network of the miniature, and its score."""
