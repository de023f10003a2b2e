"""What is minimised: the flow-matching loss and the style reward."""
