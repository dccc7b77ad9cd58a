"""The parts of `scripts/accelerator_run.py`: what a few minutes on an accelerator are for."""
