"""The settings of a conversion as a file: what was asked for, to be asked for again.

Converted files carry them in their metadata, beside the statement that they are synthetic speech.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from evc_jax import __version__
from evc_jax.audio.formats import OUTPUT_FORMATS
from evc_jax.conversion.emotion_track import Curve, EmotionTrack
from evc_jax.conversion.options import ConversionOptions
from evc_jax.conversion.requested_voice import embedding_text
from evc_jax.errors import ConfigError, one_line
from evc_jax.features import EMBEDDING_DIM
from evc_jax.files import atomic_file, printable

SUFFIX = ".settings.json"
# What a settings file holds besides the options; `bundle` is its place, if not the embedded bundle's.
ORIGIN = ("evc_jax", "bundle", "aspects")
_MARK = "; settings: "
# libsndfile leaves longer texts out of WAV files, silently.
_MAX_METADATA = 2000
_MAX_BYTES = 16 * 2**20


def settings_of(options: ConversionOptions, bundle: str | None = None, **more: str) -> dict[str, Any]:
    """The options that are not at their defaults, as JSON can hold them; samples are only named as such."""
    defaults = ConversionOptions()
    found: dict[str, Any] = {"evc_jax": __version__, **({"bundle": _without_query(bundle)} if bundle else {}), **more}
    for entry in dataclasses.fields(options):
        value = getattr(options, entry.name)
        if isinstance(value, np.ndarray) or value != getattr(defaults, entry.name):
            found[entry.name] = _plain(value)
    return found


def _without_query(bundle: str) -> str:
    """The place of a bundle without what may be a key to it: the settings travel with the outputs."""
    return urlsplit(bundle)._replace(query="").geturl() if "://" in bundle else bundle


def write_settings(settings: Mapping[str, Any], path: str | os.PathLike) -> None:
    """Writes settings as a JSON file, whole or not at all."""
    with atomic_file(path) as beside:
        beside.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def read_settings(path: str | os.PathLike) -> dict[str, Any]:
    """Reads settings from a JSON file, or from a file of sound that was converted with them.

    Raises:
      ConfigError: there are none.
    """
    path, name = Path(path), printable(Path(path))
    try:
        size = path.stat().st_size
        if path.suffix.lower() in OUTPUT_FORMATS:
            text = _metadata(path)
        elif size > _MAX_BYTES:
            raise ConfigError(f"{name} is no settings file, it is too large; give another.")
        else:
            text = path.read_text(encoding="utf-8-sig")
        found = json.loads(text)
    except ConfigError:
        raise
    except OSError as error:
        reason = error.strerror or one_line(error)
        raise ConfigError(f"The settings {name} cannot be read ({reason}); give another file.") from error
    except (ValueError, RecursionError) as error:  # no text, no JSON, or a number of thousands of digits
        raise ConfigError(
            f"The settings {name} are no JSON ({one_line(error)}); give a file that was saved."
        ) from error
    if not isinstance(found, dict):
        raise ConfigError(f"The settings {name} are no JSON object; give a file that --save-settings wrote.")
    return found


def metadata_text(settings: Mapping[str, Any] | None) -> str:
    """The statement in the metadata of a converted file; settings of more than 2,000 characters are not in it."""
    statement = f"synthetic speech, evc_jax {__version__}"
    if settings is None:
        return statement
    whole = f"{statement}{_MARK}{json.dumps(settings, separators=(',', ':'))}"
    return whole if len(whole) <= _MAX_METADATA else f"{statement}; its settings are too long to be stored here"


def _metadata(path: Path) -> str:
    import soundfile

    try:
        with soundfile.SoundFile(os.fsencode(path)) as sound:
            comment = sound.comment
    except soundfile.SoundFileError as error:
        raise ConfigError(f"{printable(path)} cannot be read as audio ({one_line(error)}); give another.") from error
    text, mark, settings = comment.partition(_MARK)
    if not mark:
        raise ConfigError(
            f"{printable(path)} carries no settings; give a file that evc_jax converted, or a .json of --save-settings."
        )
    return settings


def _plain(value: Any) -> Any:
    if isinstance(value, Curve):
        return [list(point) for point in zip(value.times_s, value.values, strict=True)]
    if isinstance(value, EmotionTrack):
        return value.to_rows()
    if isinstance(value, np.ndarray):
        if value.shape == (EMBEDDING_DIM,):
            return embedding_text(value)
        return f"(array of {value.size} numbers)"
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, np.generic):
        return value.item()
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value
