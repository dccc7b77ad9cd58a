"""The seven systems: a config, a data pipeline, a loss and a step each."""
