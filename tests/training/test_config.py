"""Configs and settings of the command line, and what is refused."""

import dataclasses
import json
import math
import re
import typing

import jax
import pytest
from support.tiny_systems import CONFIGS, SYSTEMS, load_config

from evc_jax.config import optional_type, to_mapping
from evc_jax.errors import ConfigError
from evc_jax.models.network import Network
from evc_jax.models.waveglow.config import WaveGlowConfig
from evc_jax.models.waveglow.network import WaveGlow
from evc_jax.training.config import COMPUTE_DTYPES, inference_config
from evc_jax.training.settings import key_types, leaves, load_settings


def load(*settings, name="codegan", variant="tiny"):
    return load_settings(f"{CONFIGS / name}.py:{variant}", settings)


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
        ("data.datasets=('esd', \"mine\",)", "data.datasets", ("esd", "mine")),
        ("options.emotions=happy,sad", "options.emotions", ("happy", "sad")),
        ("profile_steps=3:5", "profiled", (3, 5)),
    ],
)
def test_settings_of_the_command_line(setting, path, value):
    found = load(f"--config.{setting}")
    for part in path.split("."):
        found = found[part] if isinstance(found, dict) else getattr(found, part)
    assert (tuple(found) if isinstance(found, list) else found) == value


def test_several_settings_at_once():
    words = ["--config.options.code=rhythm", "--config.steps", "9", "--config.seed=4", "--config.model.residual"]
    found = load(*words, "--config.seed=5", variant="small")
    assert (found.options["code"], found.steps, found.seed, found.model["residual"]) == ("rhythm", 9, 5, True)


def keys_of_type(name, is_one):
    return [(name, key) for key, hint in key_types(name).items() if is_one(optional_type(hint)[0])]


LISTS = [found for name in SYSTEMS for found in keys_of_type(name, lambda kind: typing.get_origin(kind) is tuple)]
WORDS = {"emotions": "happy,sad", "trained_parts": "decoder,pitch"}


@pytest.mark.parametrize("name, key", LISTS)
def test_lists_are_joined_by_commas(name, key):
    last, item = key.rpartition(".")[2], typing.get_args(key_types(name)[key])[0]
    words = WORDS.get(last) or ",".join(map(str, leaves(load(name=name, variant="small"))[key]))
    for text in (words, f"({words.replace(',', ', ')})", f"[{words}]"):
        found = leaves(load(f"--config.{key}={text}", name=name, variant="small"))[key]
        assert tuple(found) == tuple(item(word) for word in words.split(",")) and len(found) > 0
    if item is not str:
        expected = re.escape(f"config.{key} is '4,wide'; expected {'whole ' if item is int else ''}numbers joined by")
        with pytest.raises(ConfigError, match=f"^{expected}"):
            load(f"--config.{key}=4,wide", name=name, variant="small")


def test_every_list_is_found():
    assert {key for _, key in LISTS} >= {
        *("data.datasets", "options.emotions", "options.trained_parts", "options.shifts_semitones"),
        *("model.down_widths", "model.up_widths", "model.generator_widths", "model.discriminator_kernels"),
    }


NUMBERS = [found for name in SYSTEMS for found in keys_of_type(name, lambda kind: kind in (int, float, bool))]


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_wrong_value_names_its_key_and_what_is_expected(name):
    for _, key in (found for found in NUMBERS if found[0] == name):
        with pytest.raises(
            ConfigError, match=f"^config.{re.escape(key)} is 'much'; expected (a .*number|True or False)"
        ):
            load(f"--config.{key}=much", name=name)


@pytest.mark.parametrize(
    "setting, name, message",
    [
        (
            "model.down_widths=16,32",
            "codegan",
            "config.model.up_widths has 2 entries and down",
        ),
        ("model.noise_dim=0", "voicegan", "config.model.noise_dim is 0; expected at least 1"),
        ("model.flows=0", "waveglow", "config.model"),
        ("options.mixed_share=2", "codegan", "config.options.mixed_share is 2.0; expected 0 to 1"),
        (
            "options.trained_parts=decoder,encoder",
            "speechsplit",
            "config.options.trained_parts names encoder; ",
        ),
        ("options.emotions=sad,sad", "prosody", "config.options.emotions is sad,sad; name at least two different ones"),
    ],
)
def test_a_value_that_cannot_be_names_its_key(setting, name, message):
    with pytest.raises(ConfigError, match=f"^({message})"):
        load(f"--config.{setting}", name=name)


OPTIONAL = [key for key, hint in key_types("codegan").items() if optional_type(hint)[1]]


@pytest.mark.parametrize("key", OPTIONAL)
def test_none_is_a_value_of_every_optional_key(key):
    def value(*words):
        return leaves(load_settings(f"{CONFIGS / 'speechsplit'}.py:small", words))[key]

    number, none = f"--config.{key}=7", f"--config.{key}=None"
    assert value() is not None and value(none) is None
    assert value(number) == value(none, number) == 7
    assert value(number, none) is None


def test_optional_keys_are_found():
    assert OPTIONAL == ["optimizer.decay_from_step", "optimizer.clip_norm"]


def test_a_config_of_ones_own_may_set_optional_keys(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from evc_jax.training.config import load_config_file\nfrom pathlib import Path\n"
        "def get_config(variant):\n"
        f"    config = load_config_file(Path({str(CONFIGS / 'waveglow.py')!r}), variant)\n"
        "    config.optimizer.clip_norm = 2\n    config.optimizer.decay_from_step = 5\n    return config\n"
    )
    optimizer = load_settings(f"{tmp_path / 'mine.py'}:tiny").optimizer
    assert (optimizer.clip_norm, optimizer.decay_from_step) == (2.0, 5)


def write_json(folder, value):
    file = folder / "config.json"
    file.write_text(value if isinstance(value, str) else json.dumps(value))
    return str(file)


@pytest.mark.parametrize("name", [path.stem for path in sorted(CONFIGS.glob("*.py"))])
def test_the_config_of_a_run_is_read_as_it_was_written(name, tmp_path):
    config = load(name=name, variant="small")
    file = write_json(tmp_path, to_mapping(config))
    assert load_settings(file) == config
    assert load_settings(file, ["--config.steps=3"]) == dataclasses.replace(config, steps=3)


def test_keys_that_an_older_run_lacks_get_their_defaults(tmp_path):
    config = to_mapping(load())
    for key, group in (("accumulate", config), ("clip_norm", config["optimizer"]), ("residual", config["model"])):
        del group[key]
    del config["options"]["overlap_frames"]
    found = load_settings(write_json(tmp_path, config), ["--config.options.overlap_frames=7"])
    assert (found.accumulate, found.optimizer.clip_norm, found.model["residual"]) == (1, None, False)
    assert found.options["overlap_frames"] == 7


@pytest.mark.parametrize(
    "value, message",
    [
        ('{"system": "codegan", "mod', "config.json' cannot be read .JSONDecodeError: .*; give RUN/config.json."),
        ("", "cannot be read .JSONDecodeError"),
        ([1], r"is no config.json of a training .*config is \[1\]; expected a group of settings"),
        ({"name": "x"}, "no config.json of a training .* .config has no key 'name'; name one of"),
        ({}, "config lacks system, model, options, data, best_metric"),
        ({"batch_siez": 4}, "config has no key 'batch_siez'; name one of batch_size.\\.$"),
        ({"system": "speach"}, "config.system is 'speach'; expected one of"),
        ({"model": 3}, "config.model is 3; expected a group of settings"),
        ({"model": {"widths": 3}}, "config.model has no key 'widths'; name one of "),
        ({"steps": None}, "config.steps is None; expected a whole number"),
        ({"data": {"datasets": "ravdess"}}, "config.data.datasets is 'ravdess'; expected a list"),
    ],
)
def test_a_json_that_is_no_config_is_one_sentence(value, message, tmp_path):
    if isinstance(value, dict) and len(value) == 1 and "name" not in value:
        value = {**to_mapping(load()), **value}
    with pytest.raises(ConfigError, match=message) as caught:
        load_settings(write_json(tmp_path, value))
    assert "\n" not in str(caught.value)


def test_a_json_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match="none.json' cannot be read .FileNotFoundError.*; give RUN/config.json"):
        load_settings(str(tmp_path / "none.json"))


def test_without_a_variant_the_full_size_is_meant():
    assert load_settings(f"{CONFIGS / 'codegan'}.py") == load(variant="full")


@pytest.mark.parametrize(
    "setting, message",
    [
        ("cod=pitch", "has no key 'cod'; name one of options.code.$"),
        ("emotions=happy", "has no key 'emotions'; name one of .*model.emotions.*options.emotions"),
        ("optimiser.learning_rate=1", "no key 'optimiser.learning_rate'; name one of optimizer.learning_rate.$"),
        ("optimizer.learning_rat=1", "no key 'optimizer.learning_rat'; name one of optimizer.learning_rate.$"),
        ("batch_siez=4", "no key 'batch_siez'; name one of batch_size.$"),
        ("model.up_width=4", "no key 'model.up_width'; name one of model.up_widths"),
        (
            "options.zzz=4",
            "no key 'options.zzz'; name one of options.speechsplit, options.speechsplit_checkpoint, options.code",
        ),
        ("zzz=4", "no key 'zzz'; name one of accumulate, .*, model, optimizer, options"),
        ("optimizer=3", "no key 'optimizer'; name one of optimizer.learning_rate, optimizer.beta1"),
        ("data.datasets[0]=esd", r"no key 'data.datasets\[0\]'; name one of data.datasets"),
        ("model.dtype=bfloat16", "no key 'model.dtype'; name one of "),
        ("=4", "no key ''; name one of "),
        ("steps=many", "^config.steps is 'many'; expected a whole number.$"),
        ("steps=1.5", "config.steps is '1.5'; expected a whole number"),
        ("steps=None", "config.steps is 'None'; expected a whole number"),
        ("steps", "config.steps is given without a value; write --config.steps=VALUE."),
        ("optimizer.learning_rate=fast", "config.optimizer.learning_rate is 'fast'; expected a number.$"),
        ("optimizer.clip_norm=much", "config.optimizer.clip_norm is 'much'; expected a number or None.$"),
        ("model.residual=maybe", "config.model.residual is 'maybe'; expected True or False.$"),
        ("model.down_widths=8,b", "config.model.down_widths is '8,b'; expected whole numbers joined by commas.$"),
        ("data.datasets=()", "config.data.datasets is empty; name at least one dataset"),
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
        load(f"--config.{setting}")


@pytest.mark.parametrize(
    "word, message",
    [
        ("--batch_size=4", "'--batch_size=4' is unexpected; did you mean --config.batch_size=VALUE?"),
        ("--learning_rate=4", "did you mean --config.optimizer.learning_rate=VALUE?"),
        ("-config.steps=4", "did you mean --config.steps=VALUE?"),
        ("--configsteps=4", "did you mean --config.steps=VALUE?"),
        ("--colour=red", "'--colour=red' is unexpected; settings are given as --config.KEY=VALUE."),
        ("steps=4", "'steps=4' is unexpected; settings are given as --config.KEY=VALUE."),
    ],
)
def test_words_that_are_no_settings_are_refused(word, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        load("--config.seed=1", word)


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
        load_settings(str(tmp_path / "mine.py"))


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
