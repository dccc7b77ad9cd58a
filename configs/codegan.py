"""CodeGAN, which moves pitch and rhythm codes to another emotion. It needs the SpeechSplit of a training or a bundle.

    evc train --config=codegan:full --workdir=runs/codegan \\
        --config.options.speechsplit=runs/speechsplit

full   the reference's sizes; one step is five updates of the discriminator and one of the generator
small  for a CPU or a laptop GPU; what the embedded bundle was trained with
tiny   for tests
"""

from evc_jax.models.gan.codegan import CodeGANConfig
from evc_jax.training.config import DataConfig, OptimizerConfig, config_dict, pick
from evc_jax.training.systems.codegan import Options

# The numbers of code channels and emotions follow from the frozen SpeechSplit and the options.
MODELS = {
    "full": CodeGANConfig(),
    "small": CodeGANConfig(
        down_widths=(64, 128, 256),
        up_widths=(256, 128),
        discriminator_widths=(64, 128, 256, 512, 512),
        residual=True,
    ),
    "tiny": CodeGANConfig(
        down_widths=(16, 32, 32),
        up_widths=(32, 16),
        residual_blocks=1,
        discriminator_widths=(16, 32, 32),
        discriminator_kernels=(3, 2, 2),
        discriminator_groups=(2, 2, 1),
        residual=True,
    ),
}


def get_config(variant: str = "full"):
    """The training of one variant."""
    return config_dict(
        "codegan",
        model=pick(variant, **MODELS),
        options=Options(),
        best_metric="fake_classification",
        data=DataConfig(datasets=("ravdess", "emodb")),
        optimizer=OptimizerConfig(
            learning_rate=pick(variant, full=1e-4, small=2e-4, tiny=1e-3),
            beta1=0.5,
            decay_from_step=pick(variant, full=20_000, small=2_000, tiny=None),
        ),
        batch_size=pick(variant, full=16, small=32, tiny=8),
        ema_decay=pick(variant, full=0.999, small=0.999, tiny=0.0),
        steps=pick(variant, full=400_000, small=4_000, tiny=200),
        log_every=pick(variant, full=500, small=100, tiny=20),
        validate_every=pick(variant, full=5_000, small=500, tiny=100),
        validation_samples=pick(variant, full=640, small=256, tiny=16),
        show_every=pick(variant, full=20_000, small=500, tiny=0),
        checkpoint_every=pick(variant, full=10_000, small=500, tiny=100),
    )
