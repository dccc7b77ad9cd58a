"""The settings by which recordings become spectrograms."""

from __future__ import annotations

from dataclasses import dataclass

from evc_jax.errors import ConfigError


@dataclass(frozen=True)
class AudioConfig:
    """How recordings become spectrograms. A bundle records it; training and use must agree.

    Attributes:
      sample_rate_hz: rate of everything behind `load`.
      hop_samples: distance between frames.
      window_samples: length of the Hann window and of the Fourier transform.
      mel_bands: number of mel bands, F.
      mel_min_hz, mel_max_hz: range of the mel bands.
      highpass_hz: corner of the zero-phase Butterworth high-pass.
      gain: what the filtered waveform is multiplied with.
      dither: half width of the uniform noise that keeps logarithms finite.
      mel_floor: smallest mel magnitude.
      reference_db: level that is subtracted from the mel's decibels.
      range_db: decibels that are mapped to 1.
      level_dbfs: level that `features.extract` brings speech to; None leaves recordings as they are.
    """

    sample_rate_hz: int = 16000
    hop_samples: int = 256
    window_samples: int = 1024
    mel_bands: int = 80
    mel_min_hz: float = 90.0
    mel_max_hz: float = 7600.0
    highpass_hz: float = 30.0
    gain: float = 0.96
    dither: float = 5e-7
    mel_floor: float = 1e-5
    reference_db: float = 16.0
    range_db: float = 100.0
    level_dbfs: float | None = -26.0

    def __post_init__(self):
        nyquist_hz = self.sample_rate_hz / 2
        positive = ("sample_rate_hz", "hop_samples", "window_samples", "mel_bands", "gain", "mel_floor", "range_db")
        for name, allowed, remedy in (
            *((name, getattr(self, name) > 0, "a positive number") for name in positive),
            ("hop_samples", self.hop_samples <= self.window_samples, f"at most window_samples {self.window_samples}"),
            ("mel_max_hz", self.mel_max_hz <= nyquist_hz, f"at most {nyquist_hz}"),
            ("mel_min_hz", 0 <= self.mel_min_hz < self.mel_max_hz, f"0 or more, below mel_max_hz {self.mel_max_hz}"),
            ("highpass_hz", 0 < self.highpass_hz < nyquist_hz, f"between 0 and {nyquist_hz}"),
            ("dither", self.dither >= 0, "0 or more"),
        ):
            if not allowed:
                raise ConfigError(f"audio.{name} is {getattr(self, name)}; set it to {remedy}.")
