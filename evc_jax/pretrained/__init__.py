"""Trained networks on disk: bundles and work directories."""
