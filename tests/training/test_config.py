"""Launch arguments: settings behind the variant, and what is refused."""

import math

import jax
import pytest
from support.tiny_systems import CONFIGS, load_config

from evc_jax.errors import ConfigError
from evc_jax.models.network import Network
from evc_jax.models.waveglow.config import WaveGlowConfig
from evc_jax.models.waveglow.network import WaveGlow
from evc_jax.training.config import inference_config


@pytest.mark.parametrize(
    "argument, path, value",
    [
        ("tiny,code=pitch", "options.code", "pitch"),
        ("tiny,steps=7", "steps", 7),
        ("tiny,learning_rate=1", "optimizer.learning_rate", 1.0),
        ("tiny,optimizer.beta1=0.9", "optimizer.beta1", 0.9),
        ("tiny,clip_norm=2.5", "optimizer.clip_norm", 2.5),
        ("tiny,down_widths=16+32+64", "model.down_widths", (16, 32, 64)),
        ("tiny,datasets=esd+mine", "data.datasets", ("esd", "mine")),
        ("tiny,residual=False", "model.residual", False),
    ],
)
def test_settings_behind_the_variant(argument, path, value):
    found = load_config("codegan", argument)
    for part in path.split("."):
        found = found[part] if isinstance(found, dict) else getattr(found, part)
    assert (tuple(found) if isinstance(found, list) else found) == value


def test_several_settings_at_once():
    config = load_config("codegan", "small,code=rhythm,steps=9,seed=4")
    assert (config.options["code"], config.steps, config.seed) == ("rhythm", 9, 4)


@pytest.mark.parametrize(
    "argument, message",
    [
        ("tiny,cod=pitch", "has no key 'cod'; it has accumulate, batch_size"),
        ("tiny,emotions=happy+sad", "several keys 'emotions'; write one of .*model.emotions.*options.emotions"),
        ("tiny,steps=many", "config.steps is 'many'; expected a value like 200"),
        ("tiny,code=melody", "config.options.code is 'melody'; expected one of content"),
        ("tiny,compute_dtype=float16", "config.compute_dtype is 'float16'; expected float32 or bfloat16"),
        ("tiny,ema_decay=1", "config.ema_decay is 1.0; expected at least 0 and less than 1"),
        ("tiny,accumulate=0", "config.accumulate is 0; expected at least 1"),
    ],
)
def test_wrong_settings_are_refused(argument, message):
    with pytest.raises(ConfigError, match=message):
        config = load_config("codegan", argument)
        from evc_jax.config import from_mapping
        from evc_jax.training.systems.codegan import Options

        from_mapping(Options, config.options, "config.options")


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.py")), ids=lambda path: path.stem)
@pytest.mark.parametrize("variant", ["full", "small", "tiny"])
def test_every_variant_is_complete(path, variant):
    assert load_config(path.stem, variant).system == path.stem


def test_the_light_vocoder_is_the_full_one_at_an_eighth_of_the_rate():
    full, light = (load_config("waveglow", variant).network_config(WaveGlowConfig) for variant in ("full", "light"))
    assert light.group_samples == 8 * full.group_samples and light.early_channels == 8 * full.early_channels
    parameters = [
        sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(Network(WaveGlow, config).shapes()))
        for config in (full, light)
    ]
    assert 0.8 < parameters[1] / parameters[0] < 1.3


def test_precision_is_a_matter_of_training():
    config = load_config("waveglow", "tiny,compute_dtype=bfloat16")
    model = config.network_config(WaveGlowConfig)
    assert model.dtype == "bfloat16" and inference_config(model)["dtype"] == "float32"
    assert "dtype" not in config.model
