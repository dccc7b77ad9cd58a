"""WaveGlow, the vocoder.

    python scripts/train.py --config=configs/waveglow.py:full --workdir=runs/waveglow

full   the reference's sizes (arXiv 1811.00002), for an accelerator
small  for a CPU or a laptop GPU; what the embedded bundle was trained with
tiny   for tests
"""

from evc_jax.models.waveglow import WaveGlowConfig
from evc_jax.training.config import DataConfig, OptimizerConfig, config_dict, from_argument, pick
from evc_jax.training.waveglow import Options


@from_argument
def get_config(variant: str):
    """The training of one variant."""
    return config_dict(
        "waveglow",
        model=pick(
            variant,
            full=WaveGlowConfig(),
            small=WaveGlowConfig(flows=6, early_every=2, wn_layers=6, wn_channels=64, upsample_kernel=512),
            tiny=WaveGlowConfig(flows=4, early_every=2, wn_layers=2, wn_channels=16, upsample_kernel=256),
        ),
        options=Options(segment_samples=pick(variant, full=12_000, small=8_000, tiny=4_000)),
        best_metric="loss",
        data=DataConfig(datasets=("ljspeech", "librispeech")),
        optimizer=OptimizerConfig(
            learning_rate=pick(variant, full=1e-4, small=5e-4, tiny=1e-3),
            clip_norm=pick(variant, full=None, small=1.0, tiny=1.0),
        ),
        batch_size=pick(variant, full=12, small=8, tiny=8),
        ema_decay=pick(variant, full=0.999, small=0.999, tiny=0.0),
        steps=pick(variant, full=580_000, small=3_000, tiny=200),
        log_every=pick(variant, full=100, small=50, tiny=20),
        validate_every=pick(variant, full=5_000, small=500, tiny=100),
        validation_batches=pick(variant, full=40, small=4, tiny=2),
        show_every=pick(variant, full=20_000, small=500, tiny=0),
        checkpoint_every=pick(variant, full=5_000, small=250, tiny=100),
    )
