"""The sizes of a WaveGlow (Prenger et al. 2018, arXiv 1811.00002)."""

from __future__ import annotations

import dataclasses
import math

from evc_jax.errors import ConfigError

PRIORS = ("white", "shaped")


@dataclasses.dataclass(frozen=True)
class WaveGlowConfig:
    """Sizes; the defaults are the reference's.

    Attributes:
      group_samples: samples that are squeezed into one step. Synthesis is fastest where they divide `upsample_stride`.
      early_every: after this many flows, and again after as many, ...
      early_channels: ... this many channels leave early.
      wn_layers, wn_channels, wn_kernel: the dilated network inside each coupling.
      upsample_kernel, upsample_stride: transposed convolution from mel frames to samples; the stride is the hop.
      prior: "white" noise, as in the reference, or noise that a fixed filter has "shaped" after the mel: the network
        then takes whitened sound to noise and noise to whitened sound, see `audio.spectral_shape`.
      dtype: type of the arithmetic; parameters, log-determinants and results stay float32.
    """

    mel_bands: int = 80
    flows: int = 12
    group_samples: int = 8
    early_every: int = 4
    early_channels: int = 2
    wn_layers: int = 8
    wn_channels: int = 256
    wn_kernel: int = 3
    upsample_kernel: int = 1024
    upsample_stride: int = 256
    dtype: str = "float32"
    prior: str = "white"

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name not in ("dtype", "prior", "early_channels") and value < 1:
                raise ConfigError(f"{field.name} is {value}; expected at least 1.")
        if self.group_samples % 2 or self.early_channels % 2 or self.early_channels < 0:
            raise ConfigError(
                f"group_samples is {self.group_samples} and early_channels {self.early_channels}; both must be even, "
                "as every coupling halves the channels."
            )
        if self.prior not in PRIORS:
            raise ConfigError(f"prior is {self.prior!r}; use one of {', '.join(PRIORS)}.")
        if self.wn_kernel % 2 == 0:
            raise ConfigError(f"wn_kernel is {self.wn_kernel}; use an odd number.")
        if self.upsample_kernel < self.upsample_stride:
            raise ConfigError(
                f"upsample_kernel is {self.upsample_kernel}; expected at least upsample_stride, {self.upsample_stride}."
            )
        if self.channels(self.flows - 1) < 2:
            raise ConfigError(
                f"{self.flows} flows that lose {self.early_channels} channels every {self.early_every} leave none of "
                f"{self.group_samples}; use fewer flows or a larger group_samples."
            )

    @property
    def upsample_taps(self) -> int:
        """Mel frames that a sample depends on."""
        return -(-self.upsample_kernel // self.upsample_stride)

    @property
    def period_frames(self) -> int:
        """The fewest mel frames that hold a whole number of groups."""
        return self.group_samples // math.gcd(self.group_samples, self.upsample_stride)

    def leaves_early(self, flow: int) -> bool:
        """Whether channels leave just before this flow."""
        return flow > 0 and flow % self.early_every == 0

    def channels(self, flow: int) -> int:
        """Channels that this flow works on."""
        return self.group_samples - self.early_channels * (flow // self.early_every)
