"""VoiceGAN and CodeGAN with their training steps in plain PyTorch, as one would write them down.

Weights are named like the originals', so that `evc_jax.torch_import.torch_gans` turns ours into these.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from evc_jax.models.gan import codegan, voicegan
from evc_jax.models.gan.codegan import CodeGANConfig
from evc_jax.models.gan.losses import GanWeights
from evc_jax.models.gan.voicegan import VoiceGANConfig
from evc_jax.training.config import OptimizerConfig
from evc_jax.training.systems.gan import GanSystem

Samples = dict[str, torch.Tensor]
Losses = dict[str, torch.Tensor]


class VoiceGenerator(nn.Module):
    """Noise and a sex to an embedding."""

    def __init__(self, config: VoiceGANConfig):
        super().__init__()
        widths = (config.noise_dim + config.sexes, *config.generator_widths)
        last = nn.Linear(widths[-1], config.embedding_dim)
        self.sexes = config.sexes
        self.main = nn.Sequential(*_linears(widths), last, nn.ReLU())

    def forward(self, noise: torch.Tensor, sex: torch.Tensor) -> torch.Tensor:
        condition = functional.one_hot(sex, self.sexes).float()
        return functional.normalize(self.main(torch.cat([noise, condition], dim=-1)))


class VoiceDiscriminator(nn.Module):
    """An embedding to how real it is and of which sex."""

    def __init__(self, config: VoiceGANConfig):
        super().__init__()
        widths = (config.embedding_dim, *config.discriminator_widths)
        self.main = nn.Sequential(*_linears(widths))
        self.src = nn.Linear(widths[-1], 1)
        self.cls = nn.Linear(widths[-1], config.sexes)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = self.main(x)
        return self.src(hidden), self.cls(hidden)


class AdaptiveInstanceNorm(nn.Module):
    """Scale and bias from the emotion."""

    def __init__(self, channels: int, emotions: int):
        super().__init__()
        self.norm = nn.InstanceNorm1d(channels)
        self.fc = nn.Linear(emotions, 2 * channels)

    def forward(self, x: torch.Tensor, emotion: torch.Tensor) -> torch.Tensor:
        scale, bias = self.fc(emotion)[..., None].chunk(2, dim=1)
        return (1 + scale) * self.norm(x) + bias


class ResidualBlock(nn.Module):
    """Convolution, adaptive norm, ReLU, twice."""

    def __init__(self, channels: int, kernel: int, emotions: int):
        super().__init__()
        self.conv1 = nn.Conv1d(channels, channels, kernel, padding=kernel // 2)
        self.in1 = AdaptiveInstanceNorm(channels, emotions)
        self.conv2 = nn.Conv1d(channels, channels, kernel, padding=kernel // 2)
        self.in2 = AdaptiveInstanceNorm(channels, emotions)

    def forward(self, x: torch.Tensor, emotion: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(self.in1(self.conv1(x), emotion))
        return (x + torch.relu(self.in2(self.conv2(hidden), emotion))) / math.sqrt(2)


class CodeGenerator(nn.Module):
    """Codes [B, C, T] and an emotion to codes."""

    def __init__(self, config: CodeGANConfig):
        super().__init__()
        self.emotions = config.emotions
        kernel, stride, padding = codegan.RESAMPLING_KERNEL, codegan.RESAMPLING_STRIDE, codegan.RESAMPLING_PADDING
        first = config.down_widths[0]
        down = _normed(nn.Conv1d(config.code_channels, first, config.input_kernel, padding=config.input_kernel // 2))
        for inputs, outputs in itertools.pairwise(config.down_widths):
            down += _normed(nn.Conv1d(inputs, outputs, kernel, stride, padding))
        top, up = config.down_widths[-1], []
        for inputs, outputs in itertools.pairwise((top, *config.up_widths)):
            up += _normed(nn.ConvTranspose1d(inputs, outputs, kernel, stride, padding))
        up.append(nn.Conv1d(config.up_widths[-1], config.code_channels, 1))
        blocks = [ResidualBlock(top, config.residual_kernel, config.emotions) for _ in range(config.residual_blocks)]
        self.main = nn.ModuleList([nn.Sequential(*down), *blocks, nn.Sequential(*up)])

    def forward(self, codes: torch.Tensor, emotion: torch.Tensor) -> torch.Tensor:
        condition = functional.one_hot(emotion, self.emotions).float()
        down, *blocks, up = self.main
        x = down(codes)
        for block in blocks:
            x = block(x, condition)
        return up(x)


class CodeDiscriminator(nn.Module):
    """Codes [B, C, T] to how real they are and of which emotion."""

    def __init__(self, config: CodeGANConfig):
        super().__init__()
        widths = itertools.pairwise((config.code_channels, *config.discriminator_widths))
        layers: list[nn.Module] = []
        for index, (inputs, outputs) in enumerate(widths):
            kernel, groups = config.discriminator_kernels[index], config.discriminator_groups[index]
            stride, padding = (codegan.RESAMPLING_STRIDE, 0) if index else (1, kernel // 2)
            layers.append(nn.Conv1d(inputs, outputs, kernel, stride, padding, groups=groups))
            layers.append(nn.LeakyReLU(codegan.LEAKY_SLOPE))
        self.main = nn.Sequential(*layers)
        self.src = nn.Conv1d(config.discriminator_widths[-1], 1, 1)
        self.cls = nn.Conv1d(config.discriminator_widths[-1], config.emotions, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = self.main(x)
        return self.src(hidden).mean(dim=2), self.cls(hidden).mean(dim=2)


class Training:
    """Both networks with their optimizers, and the steps that move them.

    Args:
      generator: makes fakes.
      discriminator: tells them from real samples.
      critic_loss: (generator, discriminator, samples) to losses, of which `d_loss` is minimised.
      generator_loss: likewise, `g_loss`.
      optimizer: rates and moments.
      ema_decay: of the moving average of the generator; 0 keeps none.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        critic_loss: Callable[..., Losses],
        generator_loss: Callable[..., Losses],
        optimizer: OptimizerConfig,
        ema_decay: float,
    ):
        self.generator, self.discriminator = generator, discriminator
        self.critic_loss, self.generator_loss = critic_loss, generator_loss
        settings = {"lr": optimizer.learning_rate, "betas": (optimizer.beta1, optimizer.beta2)}
        self.generator_optimizer = torch.optim.Adam(generator.parameters(), **settings)
        self.critic_optimizer = torch.optim.Adam(discriminator.parameters(), **settings)
        self.average = copy.deepcopy(generator) if ema_decay else None
        self.ema_decay = ema_decay

    def step(self, updates: Sequence[Samples]) -> Losses:
        """One update of the critic on each of `updates`, and one of the generator on the last."""
        for samples in updates:
            critic = self.critic_loss(self.generator, self.discriminator, samples)
            self.critic_optimizer.zero_grad()
            critic["d_loss"].backward()
            self.critic_optimizer.step()
        generator = self.generator_loss(self.generator, self.discriminator, updates[-1])
        self.generator_optimizer.zero_grad()
        generator["g_loss"].backward()
        self.generator_optimizer.step()
        if self.average is not None:
            with torch.no_grad():
                for average, value in zip(self.average.parameters(), self.generator.parameters(), strict=True):
                    average.lerp_(value, 1 - self.ema_decay)
        return {name: loss.detach() for name, loss in {**critic, **generator}.items()}


def draw(updates: Sequence[Samples], config: VoiceGANConfig | CodeGANConfig) -> list[Samples]:
    """The samples with what is random in a step."""
    drawn = []
    for samples in updates:
        real = samples["embedding"] if isinstance(config, VoiceGANConfig) else samples["codes"]
        chance: Samples = {"alpha": torch.rand(len(real), device=real.device)}
        if isinstance(config, VoiceGANConfig):
            chance["noise"] = torch.randn(len(real), config.noise_dim, device=real.device)
        else:
            chance["target"] = samples["emotion"][torch.randperm(len(real), device=real.device)]
        drawn.append({**samples, **chance})
    return drawn


def gradient_penalty(
    discriminator: nn.Module, real: torch.Tensor, fake: torch.Tensor, alpha: torch.Tensor
) -> torch.Tensor:
    """WGAN-GP's, between each real sample and its fake."""
    share = alpha.reshape(-1, *[1] * (real.ndim - 1))
    mixed = (share * real + (1 - share) * fake).requires_grad_()
    source = discriminator(mixed)[0]
    (gradients,) = torch.autograd.grad(source, mixed, torch.ones_like(source), create_graph=True)
    return ((gradients.flatten(1).norm(dim=1) - 1) ** 2).mean()


def voicegan_losses(weights: GanWeights) -> tuple[Callable[..., Losses], Callable[..., Losses]]:
    """The critic's and the generator's; samples: noise [B, N], embedding [B, E], sex [B], alpha [B]."""

    def critic_loss(generator, discriminator, samples):
        with torch.no_grad():
            fake = generator(samples["noise"], samples["sex"])
        source, classes = discriminator(samples["embedding"])
        wasserstein = source.mean() - discriminator(fake)[0].mean()
        classification = functional.cross_entropy(classes, samples["sex"])
        penalty = gradient_penalty(discriminator, samples["embedding"], fake, samples["alpha"])
        return {"d_loss": -wasserstein + weights.classification * classification + weights.gradient_penalty * penalty}

    def generator_loss(generator, discriminator, samples):
        source, classes = discriminator(generator(samples["noise"], samples["sex"]))
        classification = functional.cross_entropy(classes, samples["sex"])
        return {"g_loss": -source.mean() + weights.classification * classification}

    return critic_loss, generator_loss


def codegan_losses(weights: GanWeights, class_weights: torch.Tensor) -> tuple[Callable[..., Losses], ...]:
    """The critic's and the generator's; samples: codes [B, C, T], emotion [B], target [B], alpha [B]."""

    def critic_loss(generator, discriminator, samples):
        with torch.no_grad():
            fake = generator(samples["codes"], samples["target"])
        source, classes = discriminator(samples["codes"])
        wasserstein = source.mean() - discriminator(fake)[0].mean()
        classification = functional.cross_entropy(classes, samples["emotion"], class_weights)
        penalty = gradient_penalty(discriminator, samples["codes"], fake, samples["alpha"])
        return {"d_loss": -wasserstein + weights.classification * classification + weights.gradient_penalty * penalty}

    def generator_loss(generator, discriminator, samples):
        fake = generator(samples["codes"], samples["target"])
        source, classes = discriminator(fake)
        classification = functional.cross_entropy(classes, samples["target"], class_weights)
        reconstruction = functional.l1_loss(generator(fake, samples["emotion"]), samples["codes"])
        loss = -source.mean() + weights.classification * classification + weights.reconstruction * reconstruction
        return {"g_loss": loss}

    return critic_loss, generator_loss


def build(system: GanSystem, device: torch.device) -> Training:
    """The training of the same networks and losses as `system`'s, with weights that PyTorch draws."""
    config, weights = system.model, system.options.weights
    if isinstance(config, VoiceGANConfig):
        networks, losses = (VoiceGenerator, VoiceDiscriminator), voicegan_losses(weights)
    else:
        class_weights = torch.ones(config.emotions, device=device)
        networks, losses = (CodeGenerator, CodeDiscriminator), codegan_losses(weights, class_weights)
    generator, discriminator = (network(config).to(device) for network in networks)
    return Training(generator, discriminator, *losses, system.config.optimizer, system.config.ema_decay)


def updates(batch: dict[str, np.ndarray], device: torch.device) -> list[Samples]:
    """A batch of ours [B, critic_steps, ...] as one for each update of the critic, codes as [B, C, T]."""
    tensors = {name: torch.from_numpy(value).to(device) for name, value in batch.items() if name != "index"}
    tensors |= {name: tensors[name].long() for name in ("emotion", "sex") if name in tensors}
    if "codes" in tensors:
        tensors["codes"] = tensors["codes"].transpose(2, 3).contiguous()
    count = len(next(iter(tensors.values()))[0])
    return [{name: value[:, i].contiguous() for name, value in tensors.items()} for i in range(count)]


def _linears(widths: Sequence[int]) -> list[nn.Module]:
    layers = ([nn.Linear(a, b), nn.LeakyReLU(voicegan.LEAKY_SLOPE)] for a, b in itertools.pairwise(widths))
    return [layer for pair in layers for layer in pair]


def _normed(conv: Any) -> list[nn.Module]:
    return [conv, nn.InstanceNorm1d(conv.out_channels, affine=True), nn.LeakyReLU(codegan.LEAKY_SLOPE)]
