"""Strict conversion between plain mappings (JSON, ml_collections) and frozen dataclasses.

Every number a user can set lives in a dataclass; it is checked once, when the mapping becomes that dataclass.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import types
import typing
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from evc_jax.errors import ConfigError

T = TypeVar("T")
LIST_NAMES = {int: "whole numbers", float: "numbers", str: "texts"}
TYPE_NAMES = {bool: "True or False", int: "a whole number", float: "a number", str: "a text"}


def from_mapping(cls: type[T], mapping: Any, where: str = "config") -> T:
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
    for name in mapping:
        check_key(str(name), fields, where)
    required = [name for name, field in fields.items() if field.default is field.default_factory is dataclasses.MISSING]
    missing = [name for name in required if name not in mapping]
    if missing:
        raise ConfigError(f"{where} lacks {', '.join(missing)}; set it.")
    values = {name: _convert(hints[name], value, f"{where}.{name}") for name, value in mapping.items()}
    try:
        return cls(**values)
    except ConfigError as error:
        raise ConfigError(_placed(str(error), where, fields)) from error


def _placed(sentence: str, where: str, fields: Collection[str]) -> str:
    """The sentence of a dataclass's own check with the place of the key that it begins with."""
    if sentence.startswith(f"{where}.") or where == "config":
        return sentence
    return f"{where}{'.' if sentence.partition(' ')[0] in fields else ': '}{sentence}"


def check_key(key: str, known: Collection[str], where: str = "The config") -> None:
    """Raises ConfigError, with the nearest ones, unless `key` is one of the `known` dotted paths."""
    if key not in known:
        raise ConfigError(f"{where} has no key {key!r}; name one of {', '.join(nearest_keys(key, known))}.")


def nearest_keys(key: str, known: Collection[str]) -> list[str]:
    """Which of the `known` paths may be meant by an unknown one; what is in the same group where none is similar."""
    if inside := [path for path in known if path.endswith(f".{key}") or path.startswith(f"{key}.")]:
        return inside
    group, _, name = key.rpartition(".")
    siblings = [path for path in known if group and path.startswith(f"{group}.")]
    likeness = {path: _likeness(name, path.rpartition(".")[2]) for path in siblings or known}
    if not siblings:
        likeness = {path: max(value, _likeness(key, path)) for path, value in likeness.items()}
    best = max(likeness.values())
    if best > 0.55:
        return sorted((path for path in likeness if likeness[path] > best - 0.1), key=lambda path: -likeness[path])
    return siblings or sorted({path.partition(".")[0] for path in known})


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()


def optional_type(hint: Any) -> tuple[Any, bool]:
    """The type of a key without None, and whether None is allowed."""
    arguments = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    return next(kind for kind in arguments if kind is not type(None)), type(None) in arguments


def to_mapping(config: Any) -> dict[str, Any]:
    """The dataclass as a plain dict that JSON can hold (tuples become lists)."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def _convert(hint: Any, value: Any, where: str) -> Any:
    hint, optional = optional_type(hint)
    if value is None and optional:
        return None
    origin = typing.get_origin(hint)
    if dataclasses.is_dataclass(hint):
        return value if isinstance(value, hint) else from_mapping(hint, value, where)  # type: ignore[arg-type]
    if origin is tuple or hint is tuple:
        if isinstance(value, str) or not isinstance(value, tuple | list):
            raise ConfigError(f"{where} is {value!r}; expected a list.")
        item = (typing.get_args(hint) or (Any,))[0]
        return tuple(_convert(item, element, where) for element in value)
    if origin is Mapping and not hasattr(value, "items"):
        raise ConfigError(f"{where} is {value!r}; expected a group of settings.")
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and (not isinstance(value, hint) or (hint is int and isinstance(value, bool))):
        raise ConfigError(f"{where} is {value!r}; expected {TYPE_NAMES.get(hint, hint.__name__)}.")
    return value
