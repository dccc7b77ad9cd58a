"""Which cases of a slow test CI runs, and which are left for `make test-release`."""

from collections.abc import Sequence

import pytest


def in_ci(chosen: Sequence, every: Sequence) -> list:
    """All cases of a parameter; those that are not chosen have the marker `release`."""
    assert set(chosen) <= set(every)
    return [case if case in chosen else pytest.param(case, marks=pytest.mark.release) for case in every]
