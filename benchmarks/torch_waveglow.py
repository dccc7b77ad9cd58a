"""WaveGlow in plain PyTorch, as one would write it down; written from ours.

Weights are named like those of NVIDIA's, so that `evc_jax.torch_import.torch_waveglow` reads them, and the network is
called like theirs. Of mel-spectrograms [B, F, T] and audio [B, S]; G is the number of groups of samples.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import torch
from torch import nn

from evc_jax.models.waveglow.config import WaveGlowConfig

Flows = list[torch.Tensor]


class Invertible1x1Conv(nn.Module):
    """A 1x1 convolution [B, C, G] -> [B, C, G], a rotation at first."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, 1, bias=False)
        matrix = torch.linalg.qr(torch.randn(channels, channels))[0]
        matrix[0] *= torch.linalg.det(matrix).sign()
        self.conv.weight.data = matrix[..., None].contiguous()

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The product, and the log-determinant of the map over batch and groups."""
        return self.conv(x), x.shape[0] * x.shape[2] * torch.linalg.slogdet(self.conv.weight[..., 0])[1]

    def inverse(self, x: torch.Tensor) -> torch.Tensor:
        """What the product was made of."""
        return torch.linalg.inv(self.conv.weight[..., 0]) @ x


class WN(nn.Module):
    """The network inside a coupling: half the channels [B, C / 2, G] and the mel to [b, log s], [B, C, G]."""

    def __init__(self, half: int, config: WaveGlowConfig):
        super().__init__()
        layers, width, kernel = config.wn_layers, config.wn_channels, config.wn_kernel
        self.n_layers, self.n_channels = layers, width
        self.start = nn.Conv1d(half, width, 1)
        self.end = nn.Conv1d(width, 2 * half, 1)
        self.cond_layer = nn.Conv1d(config.mel_bands * config.group_samples, 2 * width * layers, 1)
        self.in_layers = nn.ModuleList(
            nn.Conv1d(width, 2 * width, kernel, dilation=2**i, padding=2**i * (kernel // 2)) for i in range(layers)
        )
        outputs = [2 * width] * (layers - 1) + [width]
        self.res_skip_layers = nn.ModuleList(nn.Conv1d(width, count, 1) for count in outputs)

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        hidden, skips = self.start(x), []
        conditions = self.cond_layer(condition).chunk(self.n_layers, dim=1)
        for dilated, way_out, added in zip(self.in_layers, self.res_skip_layers, conditions, strict=True):
            signal, gate = (dilated(hidden) + added).chunk(2, dim=1)
            mixed = way_out(torch.tanh(signal) * torch.sigmoid(gate))
            # The last layer has no next one and leads to the result alone.
            residual, skip = mixed[:, : -self.n_channels], mixed[:, -self.n_channels :]
            hidden = hidden + residual if residual.shape[1] else hidden
            skips.append(skip)
        return self.end(torch.stack(skips).sum(dim=0))

    def normed(self) -> list[nn.Conv1d]:
        """The convolutions that have weight norm in a training."""
        return [self.start, self.cond_layer, *self.in_layers, *self.res_skip_layers]


class WaveGlow(nn.Module):
    """The vocoder, without weight norm until `apply_norm`."""

    def __init__(self, config: WaveGlowConfig):
        super().__init__()
        self.n_group = config.group_samples
        self.n_early_every, self.n_early_size = config.early_every, config.early_channels
        bands, channels = config.mel_bands, [config.channels(flow) for flow in range(config.flows)]
        self.upsample = nn.ConvTranspose1d(bands, bands, config.upsample_kernel, stride=config.upsample_stride)
        self.WN = nn.ModuleList(WN(count // 2, config) for count in channels)
        self.convinv = nn.ModuleList(Invertible1x1Conv(count) for count in channels)

    def apply_norm(self, norm: Callable[..., nn.Module] = nn.utils.weight_norm) -> WaveGlow:
        """Gives every convolution that has it weight norm, NVIDIA's (`weight_v`, `weight_g`) by default."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*weight_norm", category=FutureWarning)
            for coupling in self.WN:
                for conv in coupling.normed():
                    norm(conv)
        return self

    def forward(self, mel_and_audio: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, Flows, Flows]:
        """Audio to noise: z [B, C, G], log s of every coupling, log-determinant of every 1x1 convolution."""
        mel, audio = mel_and_audio
        groups = audio.shape[1] // self.n_group
        condition = self._condition(mel, groups)
        x = audio[:, : groups * self.n_group].reshape(len(audio), groups, self.n_group).mT
        left: Flows = []
        log_s: Flows = []
        log_det: Flows = []
        for flow, (mixer, coupling) in enumerate(zip(self.convinv, self.WN, strict=True)):
            if self._leaves_early(flow):
                left.append(x[:, : self.n_early_size])
                x = x[:, self.n_early_size :]
            x, of_mixer = mixer(x)
            kept, changed = x.chunk(2, dim=1)
            added, scale = coupling(kept, condition).chunk(2, dim=1)
            x = torch.cat([kept, torch.exp(scale) * changed + added], dim=1)
            log_s.append(scale)
            log_det.append(of_mixer)
        return torch.cat([*left, x], dim=1), log_s, log_det

    def infer(self, mel: torch.Tensor, sigma: float = 1.0, noise: Sequence[torch.Tensor] | None = None) -> torch.Tensor:
        """Noise to audio [B, S].

        Args:
          mel: [B, F, T].
          sigma: standard deviation of the noise.
          noise: of unit variance [B, C, G], the last flow's, then what joins on the way back; None draws it.
        """
        groups = mel.shape[2] * self.upsample.stride[0] // self.n_group
        condition = self._condition(mel, groups)

        def drawn(count: int) -> torch.Tensor:
            return sigma * (mel.new_empty(len(mel), count, groups).normal_() if noise is None else next(given))

        given = iter(noise or ())
        x = drawn(self.convinv[-1].conv.in_channels)
        for flow in reversed(range(len(self.WN))):
            kept, changed = x.chunk(2, dim=1)
            added, scale = self.WN[flow](kept, condition).chunk(2, dim=1)
            x = self.convinv[flow].inverse(torch.cat([kept, (changed - added) / torch.exp(scale)], dim=1))
            if self._leaves_early(flow):
                x = torch.cat([drawn(self.n_early_size), x], dim=1)
        return x.mT.reshape(len(mel), -1)

    def _condition(self, mel: torch.Tensor, groups: int) -> torch.Tensor:
        """The upsampled mel, squeezed band by band: [B, F * group_samples, G]."""
        upsampled = self.upsample(mel)[:, :, : groups * self.n_group]
        return upsampled.reshape(*mel.shape[:2], groups, self.n_group).transpose(2, 3).flatten(1, 2)

    def _leaves_early(self, flow: int) -> bool:
        return flow > 0 and flow % self.n_early_every == 0


def waveglow_loss(output: tuple[torch.Tensor, Flows, Flows], sigma: float = 1.0) -> torch.Tensor:
    """Negative log-likelihood per sample, up to a constant."""
    z, log_s, log_det = output
    energy = (z**2).sum() / (2 * sigma**2)
    return (energy - sum(each.sum() for each in log_s) - sum(log_det)) / z.numel()
