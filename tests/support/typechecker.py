"""The run-time check of annotations that the tests put into effect."""

from beartype import BeartypeConf, beartype

# PEP 484: an int is welcome where a float is expected.
typecheck = beartype(conf=BeartypeConf(is_pep484_tower=True))
