"""Configs and weights of the original VoiceGAN and CodeGAN."""

from __future__ import annotations

from typing import Any

from evc_jax.models.gan.codegan import CodeGANConfig
from evc_jax.models.gan.voicegan import VoiceGANConfig
from evc_jax.torch_import.torch_names import (
    CONV_TRANSPOSE,
    State,
    Weight,
    conv_weights,
    linear_weights,
    norm_weights,
    numbers_matching,
    shape_of,
)

# PyTorch numbers the activations of a `Sequential` too: a layer and a ReLU, or a layer, its norm and a ReLU.
PLAIN_STEP = 2
NORMED_STEP = 3


def voicegan_config(generator: State, discriminator: State | None = None) -> VoiceGANConfig:
    """Sizes of both networks; without a discriminator its are the reference's.

    A generator alone does not tell noise from sexes: two sexes are taken for granted.
    """
    *widths, embedding_dim = _linear_widths(generator)
    sizes: dict[str, Any] = {"embedding_dim": embedding_dim, "generator_widths": tuple(widths)}
    if discriminator is not None:
        sizes["sexes"] = shape_of(discriminator, "cls.weight", 2)[0]
        sizes["discriminator_widths"] = _linear_widths(discriminator)
    sexes = sizes.get("sexes", VoiceGANConfig.sexes)
    return VoiceGANConfig(noise_dim=shape_of(generator, "main.0.weight", 2)[1] - sexes, **sizes)


def voice_generator_weights(config: VoiceGANConfig) -> list[Weight]:
    """All weights of VoiceGAN's generator."""
    return _linear_stack(len(config.generator_widths) + 1)


def voice_discriminator_weights(config: VoiceGANConfig) -> list[Weight]:
    """All weights of VoiceGAN's discriminator."""
    heads = linear_weights(("source",), "src") + linear_weights(("classes",), "cls")
    return _linear_stack(len(config.discriminator_widths)) + heads


def codegan_config(generator: State, discriminator: State | None = None) -> CodeGANConfig:
    """Sizes of both networks; without a discriminator its are the reference's."""
    stages = max(numbers_matching(generator, r"main\.(\d+)\."))
    down = [f"main.0.{i}.weight" for i in _conv_numbers(generator, r"main\.0\.(\d+)\.weight$")]
    up = [f"main.{stages}.{i}.weight" for i in _conv_numbers(generator, rf"main\.{stages}\.(\d+)\.weight$")]
    _, code_channels, input_kernel = shape_of(generator, "main.0.0.weight", 3)
    sizes: dict[str, Any] = {
        "code_channels": code_channels,
        "down_widths": tuple(shape_of(generator, name, 3)[0] for name in down),
        "up_widths": tuple(shape_of(generator, name, 3)[1] for name in up[:-1]),
        "residual_blocks": stages - 1,
        "input_kernel": input_kernel,
    }
    if stages > 1:
        sizes["emotions"] = shape_of(generator, "main.1.in1.fc.weight", 2)[1]
        sizes["residual_kernel"] = shape_of(generator, "main.1.conv1.weight", 3)[2]
    if discriminator is not None:
        layers = [f"main.{i}.weight" for i in numbers_matching(discriminator, r"main\.(\d+)\.weight$")]
        widths, inputs, kernels = zip(*(shape_of(discriminator, name, 3) for name in layers), strict=True)
        sizes["discriminator_widths"], sizes["discriminator_kernels"] = widths, kernels
        channels = (code_channels, *widths[:-1])
        sizes["discriminator_groups"] = tuple(width // group for width, group in zip(channels, inputs, strict=True))
    elif code_channels % CodeGANConfig.discriminator_groups[0]:
        sizes["discriminator_groups"] = (1,) * len(CodeGANConfig.discriminator_groups)
    return CodeGANConfig(**sizes)


def code_generator_weights(config: CodeGANConfig) -> list[Weight]:
    """All weights of CodeGAN's generator."""
    weights = []
    for i in range(len(config.down_widths)):
        name = f"main.0.{NORMED_STEP * i}"
        weights += conv_weights(("down", str(i), "conv"), name)
        weights += norm_weights(("down", str(i), "norm"), f"main.0.{NORMED_STEP * i + 1}")
    for i in range(config.residual_blocks):
        for half in "12":
            path, name = ("residual", str(i)), f"main.{i + 1}"
            weights += conv_weights((*path, f"conv{half}"), f"{name}.conv{half}")
            weights += linear_weights((*path, f"norm{half}", "style"), f"{name}.in{half}.fc")
    last = f"main.{config.residual_blocks + 1}"
    for i in range(len(config.up_widths)):
        weights += conv_weights(("up", str(i), "conv"), f"{last}.{NORMED_STEP * i}", CONV_TRANSPOSE)
        weights += norm_weights(("up", str(i), "norm"), f"{last}.{NORMED_STEP * i + 1}")
    return weights + conv_weights(("output",), f"{last}.{NORMED_STEP * len(config.up_widths)}")


def code_discriminator_weights(config: CodeGANConfig) -> list[Weight]:
    """All weights of CodeGAN's discriminator."""
    weights = []
    for i in range(len(config.discriminator_widths)):
        weights += conv_weights(("layers", str(i)), f"main.{PLAIN_STEP * i}")
    return weights + conv_weights(("source",), "src") + conv_weights(("classes",), "cls")


def _conv_numbers(state: State, pattern: str) -> list[int]:
    """Positions of the convolutions among convolutions and norms: every third."""
    return numbers_matching(state, pattern)[::2]


def _linear_widths(state: State) -> tuple[int, ...]:
    return tuple(shape_of(state, f"main.{i}.weight", 2)[0] for i in numbers_matching(state, r"main\.(\d+)\.weight$"))


def _linear_stack(layers: int) -> list[Weight]:
    return [w for i in range(layers) for w in linear_weights(("layers", str(i)), f"main.{PLAIN_STEP * i}")]
