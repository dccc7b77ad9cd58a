"""How well sound survives the vocoder and the autoencoder: recordings in, the same recordings out, compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float

from evc_jax import audio, vocoder
from evc_jax.bundle import Bundle
from evc_jax.evaluation.metrics import mel_l1


def copy_synthesis(
    bundle: Bundle, recordings: Iterable[Float[np.ndarray, " S"]], vocoders: Sequence[str], seed: int = 0
) -> dict[str, float]:
    """Mean mel L1 between recordings and what each vocoder makes of their own mel-spectrograms.

    Args:
      bundle: whose audio settings and WaveGlow are used.
      recordings: samples at the bundle's rate and level.
      vocoders: names from `wishes.VOCODERS`.
      seed: of the vocoders.
    """
    errors: dict[str, list[float]] = {name: [] for name in vocoders}
    synthesisers = {name: vocoder.make_vocoder(name, bundle) for name in vocoders}
    for samples in recordings:
        mel = np.clip(audio.log_mel(samples, bundle.audio), 0, 1)
        for name, synthesise in synthesisers.items():
            errors[name].append(mel_l1(samples, synthesise(mel, len(samples), seed), bundle.audio))
    return {name: float(np.mean(values)) for name, values in errors.items()}
