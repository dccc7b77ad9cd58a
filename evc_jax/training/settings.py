"""The settings of a command line: a config file or the config.json of a run, and `--config.KEY=VALUE` on top.

Values are read by the types of the config's dataclasses. ml_collections' own flags cannot set an optional key to None
or back, and know no similar keys.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from etils import epath

from evc_jax.config import LIST_NAMES, TYPE_NAMES, check_key, optional_type, to_mapping
from evc_jax.errors import ConfigError, one_line
from evc_jax.training.config import TrainConfig, find_config, load_config_file, parse, system_type

_PREFIX = "--config."
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def load_settings(config: str, words: Sequence[str] = ()) -> TrainConfig:
    """The training that a command line describes.

    Args:
      config: see `config.find_config`, or the `config.json` that a training wrote, which may lie in a bucket.
      words: such as `--config.batch_size=32`; the last one of a key counts.

    Raises:
      ConfigError: there is no such file, variant or key, or a value has the wrong type.
    """
    if config.endswith(".json"):
        base = read_run_config(config)
    else:
        base = parse(load_config_file(*find_config(config)))
    mapping, types = to_mapping(base), key_types(base.system)
    for key, value in _key_values(words, types):
        *groups, name = key.split(".")
        place = mapping
        for group in groups:
            place = place[group]
        place[name] = read_value(value, types[key], f"config.{key}")
    return parse(mapping)


def read_run_config(file: epath.PathLike) -> TrainConfig:
    """The `config.json` of a work directory; keys that an older run did not know get their defaults.

    Raises:
      ConfigError: it cannot be read, or is not the config of a training.
    """
    try:
        mapping = json.loads(epath.Path(file).read_bytes())
    except Exception as error:  # a bucket's library has errors of its own
        reason = f"{type(error).__name__}: {one_line(error)}"
        raise ConfigError(f"The config {str(file)!r} cannot be read ({reason}); give RUN/config.json.") from error
    try:
        return parse(mapping)
    except ConfigError as error:
        reason = str(error).rstrip(".")
        raise ConfigError(f"{str(file)!r} is no config.json of a training of this version ({reason}).") from error


def key_types(system: str) -> dict[str, Any]:
    """The type of every key of a system's config, by its path, such as `optimizer.learning_rate`."""
    kind: Any = system_type(system)
    return dict(_types(TrainConfig, {"model": kind.config_type, "options": kind.options_type}))


def leaves(config: Any) -> dict[str, Any]:
    """The values of a config by the paths of their keys."""
    found = {}
    for key in key_types(config.system):
        value = config
        for name in key.split("."):
            value = value[name] if isinstance(value, Mapping) else getattr(value, name)
        found[key] = value
    return found


def read_value(text: str, hint: Any, where: str) -> Any:
    """A word of the command line as a value of a type; lists are written `a,b` or `(a, b)`.

    Raises:
      ConfigError: it is none.
    """
    kind, optional = optional_type(hint)
    if optional and text.lower() == "none":
        return None
    if typing.get_origin(kind) is tuple:
        item = typing.get_args(kind)[0]
        entries = [entry.strip().strip("\"'") for entry in text.strip().strip("()[]").split(",")]
        try:
            return [read_value(entry, item, where) for entry in entries if entry]
        except ConfigError as error:
            expected = f"{LIST_NAMES[item]} joined by commas"
            raise ConfigError(f"{where} is {text!r}; expected {expected}.") from error
    try:
        return _BOOLEANS[text.lower()] if kind is bool else kind(text)
    except (KeyError, ValueError) as error:
        expected = TYPE_NAMES[kind] + (" or None" if optional else "")
        raise ConfigError(f"{where} is {text!r}; expected {expected}.") from error


def _types(kind: Any, groups: Mapping[str, type], path: str = "") -> Iterator[tuple[str, Any]]:
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        hint = groups.get(field.name, hints[field.name])
        if dataclasses.is_dataclass(hint):
            yield from _types(hint, {}, f"{path}{field.name}.")
        elif (path, field.name) != ("model.", "dtype"):
            yield path + field.name, hint


def _key_values(words: Sequence[str], types: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Key and text of each setting: `--config.KEY=VALUE`, `--config.KEY VALUE` or, for True, `--config.KEY`."""
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith(_PREFIX):
            raise ConfigError(f"The argument {word!r} is unexpected; {_instead_of(word, types)}")
        key, equals, value = word.removeprefix(_PREFIX).partition("=")
        check_key(key, types)
        if not equals and types[key] is bool:
            value = "true"
        elif not equals:
            if not rest or rest[0].startswith("--"):
                raise ConfigError(f"config.{key} is given without a value; write {_PREFIX}{key}=VALUE.")
            value = rest.pop(0)
        yield key, value


def _instead_of(word: str, types: Mapping[str, Any]) -> str:
    key = re.sub(r"^-+(config\.?)?|=.*", "", word)
    near = difflib.get_close_matches(key, types, 1, cutoff=0.7) if word.startswith("-") else []
    return f"did you mean {_PREFIX}{near[0]}=VALUE?" if near else f"settings are given as {_PREFIX}KEY=VALUE."
