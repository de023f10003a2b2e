"""What is measured during training: samples, held-out loss, size of the velocity."""
