"""Training of the networks that are not part of USO itself: autoencoder, encoders, style descriptor."""
