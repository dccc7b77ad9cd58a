"""Sizes of VoiceGAN and CodeGAN with which tests take no time."""

from evc_jax.models.gan.codegan import CodeGANConfig
from evc_jax.models.gan.voicegan import VoiceGANConfig

VOICE = VoiceGANConfig(noise_dim=5, embedding_dim=6, generator_widths=(7,), discriminator_widths=(8, 9))
CODE = CodeGANConfig(
    code_channels=6,
    emotions=3,
    down_widths=(4, 6, 8),
    up_widths=(8, 6),
    residual_blocks=1,
    discriminator_widths=(4, 6, 8),
    discriminator_kernels=(3, 2, 2),
    discriminator_groups=(2, 2, 1),
)
