"""The arithmetic behind the dials: how strongly, where, when, at which level and in which mix references count."""
