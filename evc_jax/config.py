"""Strict conversion between plain mappings (JSON, ml_collections) and frozen dataclasses.

Every number a user can set lives in a dataclass; it is checked once, when the mapping becomes that dataclass.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from evc_jax.errors import ConfigError

T = TypeVar("T")


def from_mapping(cls: type[T], mapping: Mapping[str, Any], where: str = "config") -> T:
    """Builds the dataclass `cls` from a mapping; nested dataclasses and tuples included.

    Args:
      cls: a dataclass type whose fields have defaults where they may be left out.
      mapping: anything with `items()`, e.g. a dict or an `ml_collections.ConfigDict`.
      where: dotted name of the mapping, for the error messages.

    Raises:
      ConfigError: an unknown key, a missing one, or a value of the wrong type.
    """
    if not hasattr(mapping, "items"):
        raise ConfigError(f"{where} is {mapping!r}; expected a group of settings for {cls.__name__}.")
    kind: Any = cls  # a type variable cannot be bound to dataclasses
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}
    unknown = sorted(set(mapping.keys()) - set(fields))
    if unknown:
        raise ConfigError(f"{where} has no key {', '.join(unknown)}; it has: {', '.join(sorted(fields))}.")
    required = [name for name, field in fields.items() if field.default is field.default_factory is dataclasses.MISSING]
    missing = [name for name in required if name not in mapping]
    if missing:
        raise ConfigError(f"{where} lacks {', '.join(missing)}; set it.")
    values = {name: _convert(hints[name], value, f"{where}.{name}") for name, value in mapping.items()}
    return cls(**values)


def to_mapping(config: Any) -> dict[str, Any]:
    """The dataclass as a plain dict that JSON can hold (tuples become lists)."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in typing.get_args(hint):
            return None
        remaining = [arg for arg in typing.get_args(hint) if arg is not type(None)]
        return _convert(remaining[0], value, where)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return value if isinstance(value, hint) else from_mapping(hint, value, where)
    if origin is tuple or hint is tuple:
        if isinstance(value, str) or not isinstance(value, tuple | list):
            raise ConfigError(f"{where} is {value!r}; expected a list.")
        item = (typing.get_args(hint) or (Any,))[0]
        return tuple(_convert(item, element, where) for element in value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and (not isinstance(value, hint) or (hint is int and isinstance(value, bool))):
        raise ConfigError(f"{where} is {value!r}, a {type(value).__name__}; expected {hint.__name__}.")
    return value
