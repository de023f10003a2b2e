"""References' keys and values kept from one step to the next ones, so that their tokens need not be computed again."""
