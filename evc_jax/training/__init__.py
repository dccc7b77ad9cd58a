"""One training loop and five systems."""
