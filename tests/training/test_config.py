"""Configs and settings of the command line, and what is refused."""

import math

import jax
import pytest
from support.tiny_systems import CONFIGS, load_config

from evc_jax.config import from_mapping
from evc_jax.errors import ConfigError
from evc_jax.models.network import Network
from evc_jax.models.waveglow.config import WaveGlowConfig
from evc_jax.models.waveglow.network import WaveGlow
from evc_jax.training import config
from evc_jax.training.config import COMPUTE_DTYPES, inference_config, parse
from evc_jax.training.systems.codegan import Options


def load(*settings, name="codegan", variant="tiny"):
    return parse(config.load_config(f"{CONFIGS / name}.py:{variant}", settings))


@pytest.mark.parametrize(
    "setting, path, value",
    [
        ("options.code=pitch", "options.code", "pitch"),
        ("steps=7", "steps", 7),
        ("optimizer.learning_rate=1", "optimizer.learning_rate", 1.0),
        ("optimizer.clip_norm=2.5", "optimizer.clip_norm", 2.5),
        ("optimizer.decay_from_step=9", "optimizer.decay_from_step", 9),
        ("model.down_widths=(16,32,64)", "model.down_widths", (16, 32, 64)),
        ("data.datasets=esd,mine", "data.datasets", ("esd", "mine")),
        ("model.residual=False", "model.residual", False),
        ("profile_steps=3:5", "profiled", (3, 5)),
    ],
)
def test_settings_of_the_command_line(setting, path, value):
    found = load(f"--config.{setting}")
    for part in path.split("."):
        found = found[part] if isinstance(found, dict) else getattr(found, part)
    assert (tuple(found) if isinstance(found, list) else found) == value


def test_several_settings_at_once():
    found = load("--config.options.code=rhythm", "--config.steps", "9", "--config.seed=4", variant="small")
    assert (found.options["code"], found.steps, found.seed) == ("rhythm", 9, 4)


def test_without_a_variant_the_full_size_is_meant():
    assert parse(config.load_config(f"{CONFIGS / 'codegan'}.py")) == load(variant="full")


@pytest.mark.parametrize(
    "setting, message",
    [
        ("cod=pitch", "has no key 'cod'; name one of "),
        ("emotions=happy", "has no key 'emotions'; name one of .*model.emotions.*options.emotions"),
        ("steps=many", "invalid literal for int"),
        ("options.code=melody", "config.options.code is 'melody'; expected one of content"),
        ("compute_dtype=float16", "is 'float16'; expected one of float32, bfloat16, float64"),
        ("ema_decay=1", "config.ema_decay is 1.0; expected at least 0 and less than 1"),
        ("accumulate=0", "config.accumulate is 0; expected at least 1"),
        ("profile_steps=7", "config.profile_steps is '7'; expected FIRST:LAST such as 100:110"),
        ("profile_steps=7:5", "config.profile_steps is '7:5'; expected FIRST:LAST"),
        ("profile_steps=0:5", "config.profile_steps is '0:5'; expected FIRST:LAST"),
    ],
)
def test_wrong_settings_are_refused(setting, message):
    with pytest.raises(ConfigError, match=message):
        from_mapping(Options, load(f"--config.{setting}").options, "config.options")


def test_every_type_of_arithmetic_that_is_named_is_accepted():
    assert [load(f"--config.compute_dtype={name}").compute_dtype for name in COMPUTE_DTYPES] == list(COMPUTE_DTYPES)


@pytest.mark.parametrize(
    "text, message",
    [
        ("def get_config(variant): return missing", "cannot be run .NameError: name 'missing' is not defined.; mend"),
        ("def get_config(", "cannot be run .SyntaxError"),
        ("", "cannot be run .AttributeError: .*get_config"),
    ],
)
def test_a_config_that_cannot_be_run_is_named(text, message, tmp_path):
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(ConfigError, match=message):
        config.load_config(str(tmp_path / "mine.py"))


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.py")), ids=lambda path: path.stem)
@pytest.mark.parametrize("variant", ["full", "small", "tiny"])
def test_every_variant_is_complete(path, variant):
    assert load_config(path.stem, variant).system == path.stem


def test_the_light_vocoder_is_the_full_one_at_an_eighth_of_the_rate():
    full, light = (load_config("waveglow", variant).network_config(WaveGlowConfig) for variant in ("full", "light"))
    assert light.group_samples == 8 * full.group_samples and light.early_channels == 8 * full.early_channels
    parameters = [
        sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(Network(WaveGlow, model).shapes()))
        for model in (full, light)
    ]
    assert 0.8 < parameters[1] / parameters[0] < 1.3


def test_precision_is_a_matter_of_training():
    found = load("--config.compute_dtype=bfloat16", name="waveglow")
    model = found.network_config(WaveGlowConfig)
    assert model.dtype == "bfloat16" and inference_config(model)["dtype"] == "float32"
    assert "dtype" not in found.model
