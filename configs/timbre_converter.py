"""The timbre converter, which filters a recording so that it sounds like another speaker.

    evc train --config=timbre_converter:full --workdir=runs/timbre_converter

full   for an accelerator
small  for a CPU or a laptop GPU; what the embedded bundle was trained with
tiny   for tests
"""

from evc_jax.models.timbre_converter import TimbreConverterConfig
from evc_jax.training.config import DataConfig, OptimizerConfig, config_dict, pick
from evc_jax.training.systems.timbre_converter import Options


def get_config(variant: str = "full"):
    """The training of one variant."""
    return config_dict(
        "timbre_converter",
        model=pick(
            variant,
            full=TimbreConverterConfig(width=256, blocks=6),
            small=TimbreConverterConfig(),
            tiny=TimbreConverterConfig(cosines=8, width=16, blocks=1),
        ),
        options=pick(
            variant,
            full=Options(utterances_per_speaker=64),
            small=Options(),
            tiny=Options(excerpt_frames=100, utterances_per_speaker=4, window_frames=40, shifts_semitones=(-6, 0, 6)),
        ),
        best_metric="loss",
        data=DataConfig(datasets=("ravdess", "emodb", "librispeech")),
        optimizer=pick(
            variant,
            full=OptimizerConfig(learning_rate=5e-4, warmup_steps=1_000, decay_from_step=50_000, clip_norm=1.0),
            small=OptimizerConfig(learning_rate=1e-3, warmup_steps=30, decay_from_step=1_000, clip_norm=1.0),
            tiny=OptimizerConfig(learning_rate=2e-3, clip_norm=1.0),
        ),
        batch_size=pick(variant, full=64, small=16, tiny=8),
        ema_decay=pick(variant, full=0.999, small=0.98, tiny=0.0),
        steps=pick(variant, full=100_000, small=2_500, tiny=100),
        log_every=pick(variant, full=100, small=50, tiny=20),
        validate_every=pick(variant, full=5_000, small=250, tiny=50),
        validation_samples=pick(variant, full=640, small=96, tiny=16),
        show_every=pick(variant, full=20_000, small=500, tiny=0),
        checkpoint_every=pick(variant, full=5_000, small=250, tiny=100),
    )
