"""Samples: reading, writing, spectrograms, loudness and pauses. No networks, no JAX."""
