"""Configs and weights of the original VoiceGAN and CodeGAN."""

from __future__ import annotations

from evc_jax.interop.torch_names import (
    CONV_TRANSPOSE,
    State,
    Weight,
    conv_weights,
    from_torch,
    linear_weights,
    norm_weights,
    numbers_matching,
    shape_of,
)
from evc_jax.models.codegan import CodeGANConfig
from evc_jax.models.network import Params
from evc_jax.models.voicegan import VoiceGANConfig

# PyTorch numbers the activations of a `Sequential` too: a layer and a ReLU, or a layer, its norm and a ReLU.
PLAIN_STEP = 2
NORMED_STEP = 3


def voicegan_from_torch(generator: State, discriminator: State) -> tuple[VoiceGANConfig, Params, Params]:
    """Config and both players' parameters."""
    generator_outputs = _linear_widths(generator)
    noise_and_sex = shape_of(generator, "main.0.weight")[1]
    sexes = shape_of(discriminator, "cls.weight")[0]
    config = VoiceGANConfig(
        noise_dim=noise_and_sex - sexes,
        embedding_dim=generator_outputs[-1],
        sexes=sexes,
        generator_widths=generator_outputs[:-1],
        discriminator_widths=_linear_widths(discriminator),
    )
    g_params = from_torch(generator, voice_generator_weights(config))
    return config, g_params, from_torch(discriminator, voice_discriminator_weights(config))


def voice_generator_weights(config: VoiceGANConfig) -> list[Weight]:
    """All weights of VoiceGAN's generator."""
    return _linear_stack(len(config.generator_widths) + 1)


def voice_discriminator_weights(config: VoiceGANConfig) -> list[Weight]:
    """All weights of VoiceGAN's discriminator."""
    heads = linear_weights(("source",), "src") + linear_weights(("classes",), "cls")
    return _linear_stack(len(config.discriminator_widths)) + heads


def codegan_from_torch(generator: State, discriminator: State) -> tuple[CodeGANConfig, Params, Params]:
    """Config and both players' parameters."""
    stages = max(numbers_matching(generator, r"main\.(\d+)\."))
    down = [f"main.0.{i}.weight" for i in _conv_numbers(generator, r"main\.0\.(\d+)\.weight$")]
    up = [f"main.{stages}.{i}.weight" for i in _conv_numbers(generator, rf"main\.{stages}\.(\d+)\.weight$")]
    layers = [f"main.{i}.weight" for i in numbers_matching(discriminator, r"main\.(\d+)\.weight$")]
    first_width, code_channels, input_kernel = shape_of(generator, down[0])
    residual = "main.1.conv1.weight"
    inputs = [code_channels] + [shape_of(discriminator, name)[0] for name in layers[:-1]]
    config = CodeGANConfig(
        code_channels=code_channels,
        emotions=shape_of(discriminator, "cls.weight")[0],
        down_widths=tuple(shape_of(generator, name)[0] for name in down),
        up_widths=tuple(shape_of(generator, name)[1] for name in up[:-1]),
        residual_blocks=stages - 1,
        input_kernel=input_kernel,
        residual_kernel=shape_of(generator, residual)[2] if residual in generator else 3,
        discriminator_widths=tuple(shape_of(discriminator, name)[0] for name in layers),
        discriminator_kernels=tuple(shape_of(discriminator, name)[2] for name in layers),
        discriminator_groups=tuple(
            width // shape_of(discriminator, name)[1] for width, name in zip(inputs, layers, strict=True)
        ),
    )
    g_params = from_torch(generator, code_generator_weights(config))
    return config, g_params, from_torch(discriminator, code_discriminator_weights(config))


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
    return tuple(shape_of(state, f"main.{i}.weight")[0] for i in numbers_matching(state, r"main\.(\d+)\.weight$"))


def _linear_stack(layers: int) -> list[Weight]:
    return [w for i in range(layers) for w in linear_weights(("layers", str(i)), f"main.{PLAIN_STEP * i}")]
