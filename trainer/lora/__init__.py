"""The low-rank branches that stage `triplet` trains: where they sit, how they are made and read."""
