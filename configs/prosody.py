"""The prosody network: what an emotion changes in melody, loudness, spectral shape and timing.

    evc train --config=prosody:small --workdir=runs/prosody

full   for large corpora
small  what the embedded bundle was trained with; ten minutes on two CPU cores
tiny   for tests
"""

from evc_jax.models.prosody import ProsodyConfig
from evc_jax.training.config import DataConfig, OptimizerConfig, config_dict, pick
from evc_jax.training.systems.prosody import Options

# The number of emotions follows from the options.
MODELS = {
    "full": ProsodyConfig(width=128, layers=7),
    "small": ProsodyConfig(),
    "tiny": ProsodyConfig(width=16, layers=2),
}


def get_config(variant: str = "full"):
    """The training of one variant."""
    return config_dict(
        "prosody",
        model=pick(variant, **MODELS),
        options=Options(),
        best_metric="loss",
        data=DataConfig(datasets=("ravdess", "emodb")),
        optimizer=OptimizerConfig(
            learning_rate=pick(variant, full=1e-3, small=2e-3, tiny=2e-3),
            warmup_steps=pick(variant, full=1_000, small=100, tiny=0),
            decay_from_step=pick(variant, full=10_000, small=500, tiny=None),
            clip_norm=1.0,
        ),
        batch_size=pick(variant, full=64, small=32, tiny=8),
        ema_decay=pick(variant, full=0.999, small=0.99, tiny=0.0),
        steps=pick(variant, full=50_000, small=4_000, tiny=200),
        log_every=pick(variant, full=100, small=100, tiny=20),
        validate_every=pick(variant, full=1_000, small=250, tiny=100),
        validation_samples=pick(variant, full=2_000, small=640, tiny=16),
        show_every=pick(variant, full=5_000, small=500, tiny=0),
        checkpoint_every=pick(variant, full=1_000, small=250, tiny=100),
    )
