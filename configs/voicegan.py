"""VoiceGAN, which draws new voices: speaker embeddings of a chosen sex.

    evc train --config=voicegan:full --workdir=runs/voicegan

full   the reference's sizes; one step is five updates of the discriminator and one of the generator
small  for a CPU or a laptop GPU, on the speakers of all corpora
tiny   for tests

Voices of LibriSpeech alone are no voices of actors. After 3,000 steps of `small`, 128 new voices cover 73 % of the 29
validation speakers (82 % after 4,500) where LibriSpeech alone gives 65 %; of the four among them from RAVDESS and EmoDB
35 % (55 %) instead of 5 %. Covered is who has a new voice as near as the third nearest speaker of the training. Random
means of eight partial utterances in place of each speaker's own embedding cover fewer: 50 % after 3,000 steps.
"""

from evc_jax.models.gan.voicegan import VoiceGANConfig
from evc_jax.training.config import DataConfig, OptimizerConfig, config_dict, pick
from evc_jax.training.systems.voicegan import Options

OTHER_CORPORA = ("ravdess", "emodb", "ljspeech")


def get_config(variant: str = "full"):
    """The training of one variant."""
    widths = pick(variant, full=(1024, 1024), small=(512, 512), tiny=(32, 32))
    return config_dict(
        "voicegan",
        model=VoiceGANConfig(
            noise_dim=pick(variant, full=256, small=64, tiny=16),
            generator_widths=widths,
            discriminator_widths=widths,
        ),
        options=Options(),
        best_metric="fake_classification",
        data=DataConfig(datasets=("librispeech", *OTHER_CORPORA) if variant == "small" else ("librispeech",)),
        optimizer=OptimizerConfig(learning_rate=pick(variant, full=1e-4, small=2e-4, tiny=1e-3), beta1=0.5),
        batch_size=pick(variant, full=16, small=32, tiny=8),
        ema_decay=pick(variant, full=0.999, small=0.999, tiny=0.0),
        steps=pick(variant, full=200_000, small=6_000, tiny=200),
        log_every=pick(variant, full=500, small=200, tiny=20),
        validate_every=pick(variant, full=5_000, small=1_000, tiny=100),
        show_every=pick(variant, full=20_000, small=1_000, tiny=0),
        checkpoint_every=pick(variant, full=10_000, small=1_000, tiny=100),
    )
