"""Corpora, the TFDS builder and the grain pipelines: from recordings on disk to batches."""
