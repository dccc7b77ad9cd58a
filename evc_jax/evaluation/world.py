"""Analysis and synthesis by WORLD, with which the baselines are made.

Source: Morise et al. 2016; CheapTrick 2015; D4C 2016. F0 is the project's own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from evc_jax.audio.config import AudioConfig

LOWEST_F0_HZ = 55.0
HIGHEST_F0_HZ = 800.0


@dataclass(frozen=True, eq=False)
class WorldAnalysis:
    """A recording's F0 (0 where unvoiced), power envelope and aperiodicity at the config's frames."""

    f0_hz: Float[np.ndarray, " T"]
    envelope: Float[np.ndarray, "T bins"]
    aperiodicity: Float[np.ndarray, "T bins"]
    config: AudioConfig

    @classmethod
    def of(cls, audio: Float[np.ndarray, " S"], f0_hz: Float[np.ndarray, " T"], config: AudioConfig) -> WorldAnalysis:
        """Analyses samples at the config's rate, given their F0 at the config's frames."""
        import pyworld

        f0_hz, samples = f0_hz.astype(np.float64), audio.astype(np.float64)
        times_s = np.arange(len(f0_hz)) * config.hop_samples / config.sample_rate_hz
        envelope = pyworld.cheaptrick(samples, f0_hz, times_s, config.sample_rate_hz)
        aperiodicity = pyworld.d4c(samples, f0_hz, times_s, config.sample_rate_hz)
        return cls(f0_hz, envelope, aperiodicity, config)

    def synthesise(self) -> Float[np.ndarray, " S"]:
        """Float32 samples, a hop for each frame."""
        import pyworld

        period_ms = 1000 * self.config.hop_samples / self.config.sample_rate_hz
        f0_hz = np.where(self.f0_hz > 0, np.clip(self.f0_hz, LOWEST_F0_HZ, HIGHEST_F0_HZ), 0)
        f0_hz, envelope, aperiodicity = map(np.ascontiguousarray, (f0_hz, self.envelope, self.aperiodicity))
        rate_hz = self.config.sample_rate_hz
        return pyworld.synthesize(f0_hz, envelope, aperiodicity, rate_hz, period_ms).astype(np.float32)
