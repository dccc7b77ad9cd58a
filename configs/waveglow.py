"""WaveGlow, the vocoder.

    evc train --config=waveglow:full --workdir=runs/waveglow

full   the reference's sizes (arXiv 1811.00002), for an accelerator
light  runs many times faster than real time on two CPU cores: groups eight times as large, after SqueezeWave
       (arXiv 2001.05685), in about as many parameters; trained on an accelerator, like `full`
small  for a CPU or a laptop GPU; what the embedded bundle was trained with
tiny   for tests

`full` has the reference's prior, white noise. `light` and `small` have a shaped one (`model.prior`): noise with the
spectrum that the mel describes, so that a network whispers before its first step and learns only what the mel lacks.
Losses of both priors are comparable: negative log-likelihood per sample of the recording.
"""

from evc_jax.models.waveglow.config import WaveGlowConfig
from evc_jax.training.config import DataConfig, OptimizerConfig, config_dict, pick
from evc_jax.training.systems.waveglow import Options


def get_config(variant: str = "full"):
    """The training of one variant."""
    return config_dict(
        "waveglow",
        model=pick(
            variant,
            full=WaveGlowConfig(),
            light=WaveGlowConfig(flows=8, group_samples=64, early_channels=16, wn_layers=4, prior="shaped"),
            small=WaveGlowConfig(
                flows=6, early_every=2, wn_layers=6, wn_channels=64, upsample_kernel=512, prior="shaped"
            ),
            tiny=WaveGlowConfig(flows=4, early_every=2, wn_layers=2, wn_channels=16, upsample_kernel=256),
        ),
        options=Options(segment_samples=pick(variant, full=12_000, light=16_000, small=8_000, tiny=2_000)),
        best_metric="loss",
        data=DataConfig(datasets=("ljspeech", "librispeech")),
        optimizer=OptimizerConfig(
            learning_rate=pick(variant, full=1e-4, light=5e-5, small=5e-4, tiny=1e-3),
            # Groups of 64 have 5,120 inputs each: at 2e-4 the loss diverges within 20 steps.
            warmup_steps=pick(variant, full=0, light=1_000, small=0, tiny=0),
            clip_norm=pick(variant, full=None, light=1.0, small=1.0, tiny=1.0),
        ),
        batch_size=pick(variant, full=12, light=12, small=8, tiny=8),
        ema_decay=pick(variant, full=0.999, light=0.999, small=0.999, tiny=0.0),
        steps=pick(variant, full=580_000, light=580_000, small=3_000, tiny=200),
        log_every=pick(variant, full=100, light=100, small=50, tiny=20),
        validate_every=pick(variant, full=5_000, light=5_000, small=500, tiny=100),
        validation_samples=pick(variant, full=480, light=480, small=32, tiny=16),
        show_every=pick(variant, full=20_000, light=20_000, small=500, tiny=0),
        checkpoint_every=pick(variant, full=5_000, light=5_000, small=250, tiny=100),
    )
