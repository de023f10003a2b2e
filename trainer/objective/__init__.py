"""The losses: flow matching, the style reward and prior preservation."""
