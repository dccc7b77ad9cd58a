"""The sections of an evaluation's page: each a function of the `Context` that measures and describes."""
