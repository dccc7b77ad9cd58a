"""The points of a grid of settings, each a training of its own."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evc_jax.config import check_key
from evc_jax.errors import ConfigError
from evc_jax.training.settings import leaves, load_settings


@dataclass(frozen=True)
class Point:
    """A training of a grid: its work directory, and its own settings as words of the command line."""

    workdir: str
    settings: tuple[str, ...]


def points(config: str, workdir: str, axes: Sequence[str], shared: Sequence[str]) -> list[Point]:
    """All points of a grid, the last axis varies fastest.

    Args:
      config: of all, as `load_settings` takes it.
      workdir: each point gets a folder in it, named after its values.
      axes: `KEY=VALUE,VALUE,...`; a value that is a list has its entries joined by +.
      shared: settings of all points.

    Raises:
      ConfigError: an unknown key, or a point that cannot be trained.
    """
    known = leaves(load_settings(config, shared))
    swept = dict(_parse_axis(text, known) for text in axes)
    if len(swept) < len(axes):
        raise ConfigError(f"A key is swept twice in {' '.join(axes)}; give all of its values at once.")
    names = Counter(key.rsplit(".", 1)[-1] for key in swept)
    labels = [last if names[last := key.rsplit(".", 1)[-1]] == 1 else key for key in swept]
    found = []
    for values in itertools.product(*swept.values()):
        folder = ",".join(f"{label}={value.replace('/', '_')}" for label, value in zip(labels, values, strict=True))
        settings = [f"--config.{key}={_as_flag(value, known[key])}" for key, value in zip(swept, values, strict=True)]
        load_settings(config, [*shared, *settings])
        found.append(Point(f"{workdir.rstrip('/')}/{folder}", tuple(settings)))
    return found


def _parse_axis(text: str, known: Mapping[str, object]) -> tuple[str, list[str]]:
    """`KEY=VALUE,VALUE` as the key and its values."""
    key, equals, values = text.partition("=")
    key, each = key.removeprefix("--").removeprefix("config."), values.split(",")
    check_key(key, known)
    if not equals or not all(each) or len({value.replace("/", "_") for value in each}) < len(each):
        raise ConfigError(f"{text!r} is no axis of a grid; write {key}=VALUE,VALUE,... with different values.")
    return key, each


def _as_flag(value: str, current: object) -> str:
    return value.replace("+", ",") if isinstance(current, tuple | list) else value
