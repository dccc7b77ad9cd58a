"""The F0 converter: lays one utterance's pitch contour onto another's rhythm.

    evc train --config=f0_converter:full --workdir=runs/f0_converter

full   the reference's sizes (arXiv 2004.11284, appendix B), for an accelerator
small  for a CPU or a laptop GPU; what the embedded bundle was trained with
tiny   for tests
"""

from evc_jax.models.speechsplit.config import EncoderConfig, F0ConverterConfig
from evc_jax.training.config import DataConfig, OptimizerConfig, config_dict, pick
from evc_jax.training.systems.speechsplit import CropOptions

MODELS = {
    "full": F0ConverterConfig(),
    "small": F0ConverterConfig(
        rhythm=EncoderConfig(width=64, neck=1, blocks=1),
        pitch=EncoderConfig(width=64, neck=16),
        decoder_width=96,
        decoder_layers=1,
    ),
    "tiny": F0ConverterConfig(
        rhythm=EncoderConfig(width=16, neck=1, blocks=1),
        pitch=EncoderConfig(width=32, neck=4, blocks=2),
        decoder_width=32,
        decoder_layers=1,
    ),
}


def get_config(variant: str = "full"):
    """The training of one variant."""
    return config_dict(
        "f0_converter",
        model=pick(variant, **MODELS),
        options=CropOptions(),
        best_metric="loss",
        data=DataConfig(datasets=("ravdess", "emodb", "librispeech")),
        optimizer=OptimizerConfig(learning_rate=pick(variant, full=1e-4, small=1e-3, tiny=2e-3)),
        batch_size=pick(variant, full=16, small=16, tiny=8),
        ema_decay=pick(variant, full=0.999, small=0.999, tiny=0.0),
        steps=pick(variant, full=200_000, small=3_000, tiny=200),
        log_every=pick(variant, full=100, small=50, tiny=20),
        validate_every=pick(variant, full=5_000, small=500, tiny=100),
        validation_samples=pick(variant, full=640, small=128, tiny=16),
        show_every=pick(variant, full=20_000, small=500, tiny=0),
        checkpoint_every=pick(variant, full=5_000, small=500, tiny=100),
    )
