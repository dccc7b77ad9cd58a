"""Emotional voice cloning in JAX: the same sentence with another emotion, another voice, another melody or rhythm."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evc_jax.conversion.converter import Converter as Converter
    from evc_jax.conversion.long_recordings import stream_convert as stream_convert
    from evc_jax.conversion.options import ConversionOptions as ConversionOptions
    from evc_jax.conversion.result import Conversion as Conversion
    from evc_jax.conversion.result import Transfer as Transfer
    from evc_jax.errors import EvcError as EvcError
    from evc_jax.pretrained.bundle import Bundle as Bundle
    from evc_jax.pretrained.bundle import load_bundle as load_bundle

__version__ = "0.2.0"

# Imported when they are first used: `import evc_jax` (and with it `evc --help`) must not pay for JAX.
_HOMES = {
    "Bundle": "pretrained.bundle",
    "Conversion": "conversion.result",
    "ConversionOptions": "conversion.options",
    "Converter": "conversion.converter",
    "EvcError": "errors",
    "Transfer": "conversion.result",
    "load_bundle": "pretrained.bundle",
    "stream_convert": "conversion.long_recordings",
}
__all__ = [*_HOMES, "__version__"]  # noqa: PLE0604


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(importlib.import_module(f"evc_jax.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
