"""The networks: pure definitions that know nothing of training, data or files."""
