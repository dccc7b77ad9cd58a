"""Reading the original PyTorch implementation's weights."""
