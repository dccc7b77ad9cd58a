"""Emotional voice cloning in JAX: the same sentence with another emotion, another voice, another melody or rhythm."""

__version__ = "0.1.0"

__all__ = ["ConversionOptions", "Converter", "__version__"]


def __getattr__(name: str):
    # Lazy: `import evc_jax` (and with it `evc --help`) must not pay for JAX.
    if name == "Converter":
        from evc_jax.conversion.converter import Converter

        return Converter
    if name == "ConversionOptions":
        from evc_jax.conversion.options import ConversionOptions

        return ConversionOptions
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
