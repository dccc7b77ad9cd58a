"""SpeechSplit, the autoencoder that separates speech into content, rhythm, pitch and timbre.

    python scripts/train.py --config=configs/speechsplit.py:full --workdir=runs/speechsplit

full   the reference's sizes (arXiv 2004.11284), for an accelerator
small  for a CPU or a laptop GPU; what the embedded bundle was trained with
tiny   for tests

A trained SpeechSplit is given voices more clearly, at an unchanged code, by

    python scripts/train.py --config=configs/speechsplit.py:small --workdir=runs/voices --config.init_from=embedded \
        --config.options.speaker_consistency_weight=0.02 --config.options.trained_parts=decoder
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
