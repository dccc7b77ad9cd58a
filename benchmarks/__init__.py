"""What evc_jax costs, measured beside what one would otherwise use: `python -m benchmarks --help`."""
