"""SpeechSplit, the autoencoder that separates speech into content, rhythm, pitch and timbre.

    evc train --config=speechsplit:full --workdir=runs/speechsplit

full   the reference's sizes (arXiv 2004.11284), for an accelerator
small  for a CPU or a laptop GPU; what the embedded bundle was trained with
tiny   for tests

A trained SpeechSplit comes nearer to the voice that is asked for, with the same codes, by

    evc train --config=speechsplit:small --workdir=runs/voices --config.init_from=embedded \
        --config.options.speaker_consistency_weight=0.02 --config.options.trained_parts=decoder \
        --config.optimizer.learning_rate=1e-4 --config.optimizer.clip_norm=0.1 --config.optimizer.warmup_steps=5 \
        --config.optimizer.decay_from_step=None --config.ema_decay=0.97 --config.batch_size=8 --config.steps=360

These 360 steps took the cosine to the target of 16 conversions between validation speakers, decoded and through
Griffin-Lim, from 0.53 to 0.61 and by a second verifier from 0.40 to 0.48; 56 instead of 38 % of them (69 instead of
56 %) are nearer to the target than to the source. DNSMOS (1.56, 1.60) and phoneme errors (0.39, 0.42) differ by less
than their intervals. At a rate of 5e-4 the reconstruction became worse and the cosine hardly better. `small` itself has
no consistency: a training with it from the beginning was not tried.
"""

from evc_jax.models.speechsplit.config import EncoderConfig, SpeechSplitConfig
from evc_jax.training.config import DataConfig, OptimizerConfig, config_dict, pick
from evc_jax.training.systems.speechsplit import Options

MODELS = {
    "full": SpeechSplitConfig(),
    "small": SpeechSplitConfig(
        content=EncoderConfig(width=256, neck=8),
        rhythm=EncoderConfig(width=64, neck=1, blocks=1),
        pitch=EncoderConfig(width=128, neck=16),
        decoder_width=256,
        decoder_layers=2,
    ),
    "tiny": SpeechSplitConfig(
        content=EncoderConfig(width=32, neck=4, blocks=2),
        rhythm=EncoderConfig(width=16, neck=1, blocks=1),
        pitch=EncoderConfig(width=32, neck=4, blocks=2),
        decoder_width=32,
        decoder_layers=1,
    ),
}


def get_config(variant: str = "full"):
    """The training of one variant."""
    return config_dict(
        "speechsplit",
        model=pick(variant, **MODELS),
        options=Options(resampled_share=pick(variant, full=1.0, small=0.1, tiny=1.0)),
        best_metric="mel_l1",
        data=DataConfig(datasets=("ravdess", "emodb", "librispeech")),
        optimizer=pick(
            variant,
            full=OptimizerConfig(learning_rate=1e-4),
            small=OptimizerConfig(learning_rate=1e-3, warmup_steps=200, decay_from_step=6_000, clip_norm=1.0),
            tiny=OptimizerConfig(learning_rate=2e-3),
        ),
        batch_size=pick(variant, full=16, small=16, tiny=8),
        ema_decay=pick(variant, full=0.999, small=0.999, tiny=0.0),
        steps=pick(variant, full=660_000, small=12_000, tiny=200),
        log_every=pick(variant, full=100, small=50, tiny=20),
        validate_every=pick(variant, full=5_000, small=500, tiny=100),
        validation_samples=pick(variant, full=640, small=128, tiny=16),
        show_every=pick(variant, full=20_000, small=1_000, tiny=0),
        checkpoint_every=pick(variant, full=5_000, small=500, tiny=100),
    )
