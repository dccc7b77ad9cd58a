"""PyTorch modules whose parts are named like the originals', to save files that look like theirs."""

from __future__ import annotations

import torch
from torch import nn

from benchmarks import torch_waveglow
from evc_jax.models.waveglow.config import WaveGlowConfig

GLOW = {name: getattr(torch_waveglow, name) for name in ("WaveGlow", "WN", "Invertible1x1Conv")}
SMALL = {
    "mel_bands": 4,
    "flows": 3,
    "early_every": 2,
    "wn_layers": 2,
    "wn_channels": 6,
    "upsample_kernel": 64,
    "upsample_stride": 32,
}


def waveglow(**sizes: int) -> torch_waveglow.WaveGlow:
    """A small WaveGlow without weight norm, but for the fields of its config that are given."""
    return torch_waveglow.WaveGlow(WaveGlowConfig(**{**SMALL, **sizes}))


class VoiceEncoder(nn.Module):
    """Resemblyzer's network."""

    def __init__(self, bands=40, hidden=8, layers=3, outputs=6):
        super().__init__()
        self.lstm = nn.LSTM(bands, hidden, layers, batch_first=True)
        self.linear = nn.Linear(hidden, outputs)
        self.similarity_weight = nn.Parameter(torch.tensor([10.0]))
        self.similarity_bias = nn.Parameter(torch.tensor([-5.0]))

    def forward(self, mel):
        raw = torch.relu(self.linear(self.lstm(mel)[1][0][-1]))
        return raw / raw.norm(dim=1, keepdim=True)
