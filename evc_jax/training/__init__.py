"""One training loop and six systems."""
