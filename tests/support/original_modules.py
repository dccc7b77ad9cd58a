"""PyTorch modules whose parts are named like the originals', to save files that look like theirs."""

from __future__ import annotations

import torch
from torch import nn


class Invertible1x1Conv(nn.Module):
    """A 1x1 convolution over the channels of a group."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, 1, bias=False)
        self.conv.weight.data = torch.linalg.qr(torch.randn(channels, channels))[0][..., None].contiguous()


class WN(nn.Module):
    """The network inside a coupling."""

    def __init__(self, half: int, condition: int, layers: int, width: int):
        super().__init__()
        self.n_layers, self.n_channels = layers, width
        self.start = nn.Conv1d(half, width, 1)
        self.end = nn.Conv1d(width, 2 * half, 1)
        self.cond_layer = nn.Conv1d(condition, 2 * width * layers, 1)
        dilations = [2**i for i in range(layers)]
        self.in_layers = nn.ModuleList(nn.Conv1d(width, 2 * width, 3, dilation=d, padding=d) for d in dilations)
        widths = [2 * width] * (layers - 1) + [width]
        self.res_skip_layers = nn.ModuleList(nn.Conv1d(width, outputs, 1) for outputs in widths)

    def normed(self):
        """The convolutions that have weight norm."""
        return [self.start, self.cond_layer, *self.in_layers, *self.res_skip_layers]


class WaveGlow(nn.Module):
    """The vocoder."""

    def __init__(self, bands=4, flows=3, group=8, early_every=2, layers=2, width=6, kernel=64, stride=32):
        super().__init__()
        self.upsample = nn.ConvTranspose1d(bands, bands, kernel, stride=stride)
        channels = [group - 2 * (flow // early_every) for flow in range(flows)]
        self.WN = nn.ModuleList(WN(c // 2, bands * group, layers, width) for c in channels)
        self.convinv = nn.ModuleList(Invertible1x1Conv(c) for c in channels)

    def apply_norm(self, norm):
        """Gives every convolution that has it weight norm."""
        for coupling in self.WN:
            for conv in coupling.normed():
                norm(conv)
        return self


GLOW = {"WaveGlow": WaveGlow, "WN": WN, "Invertible1x1Conv": Invertible1x1Conv}


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
