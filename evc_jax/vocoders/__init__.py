"""Mel spectrograms back to sound. Imports nothing slow: the command line needs the names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

VOCODERS = ("griffin-lim", "waveglow")
DEFAULT_SIGMA = 0.7


# Makes float32 [samples] of mel [T, F], samples and seed, silent past T * hop; the same seed gives the same sound.
Vocoder = Callable[[np.ndarray, int, int], np.ndarray]


def vocoders_of(bundle: Any) -> list[str]:
    """Those of `VOCODERS` that work with a bundle."""
    return [name for name in VOCODERS if name != "waveglow" or bundle.has("waveglow")]


def make_vocoder(name: str, bundle: Any, sigma: float = DEFAULT_SIGMA, denoise: float = 0.0) -> Vocoder:
    """The vocoder of that name for a bundle's mel-spectrograms.

    Args:
      name: one of `VOCODERS`.
      bundle: whose audio settings and WaveGlow are used.
      sigma: WaveGlow's noise.
      denoise: how much of WaveGlow's hum is taken out, from 0 to 1. At 0 nothing is done at all.

    Raises:
      BundleError: the bundle has no WaveGlow.
    """
    # Imported here: the names above are for the command line, which must not pay for JAX.
    if name == "griffin-lim":
        from evc_jax.vocoders.griffin_lim import griffin_lim

        return lambda mel, samples, seed: griffin_lim(mel, bundle.audio, length=samples, seed=seed)
    from evc_jax.vocoders.denoiser import Denoiser
    from evc_jax.vocoders.waveglow import WaveGlowVocoder, waveglow_bias

    trained = bundle.network("waveglow")
    return WaveGlowVocoder(trained, bundle.audio, sigma, Denoiser(waveglow_bias(bundle), denoise) if denoise else None)
