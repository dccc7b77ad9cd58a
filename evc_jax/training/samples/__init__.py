"""Pictures and sounds of a few fixed utterances at validation, for TensorBoard."""
