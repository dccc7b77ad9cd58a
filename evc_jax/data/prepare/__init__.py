"""From a corpus to a prepared dataset."""
