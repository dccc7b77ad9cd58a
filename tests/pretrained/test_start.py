"""A training that starts with the parameters of another one."""

import jax
import numpy as np
import pytest
from etils import epath
from support.tiny_bundles import CONFIGS, EMOTIONS
from support.tiny_systems import SYSTEMS, load_config, make_system
from support.tiny_voices import records, train_voices, write_voices

from benchmarks.fake_data import system_without_data
from evc_jax.config import to_mapping
from evc_jax.errors import BundleError, CheckpointError, ConfigError
from evc_jax.pretrained.bundle import load_bundle
from evc_jax.pretrained.start import known_emotions
from evc_jax.pretrained.workdir import load_for_inference
from evc_jax.training.checkpoints import Checkpoints
from evc_jax.training.emotions import with_emotions

NETWORKS = ("params", "generator", "discriminator")


def write_workdir(system, workdir, key=1):
    """A work directory whose only checkpoint has the first state of a system; returns that state."""
    state = system.init(jax.random.key(key))
    checkpoints = Checkpoints(workdir, 1, system.config.best_metric)
    description = {"config": to_mapping(system.config), "networks": system.networks()}
    checkpoints.save(5, state, system.inference_params(state), {}, description, {}, 0)
    checkpoints.finish()
    checkpoints.close()
    return state


def same(one, other):
    return jax.tree.all(jax.tree.map(np.array_equal, jax.device_get(one), jax.device_get(other)))


def parameters(state):
    return {name: getattr(state, name) for name in NETWORKS if hasattr(state, name)}


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_starts_with_the_parameters_of_a_work_directory(name, tmp_path):
    earlier = write_workdir(make_system(name), tmp_path)
    state = make_system(name, init_from=str(tmp_path), ema_decay=0.9).init(jax.random.key(2))
    assert same(parameters(state), parameters(earlier))
    assert same(state.ema, parameters(state).get("params", parameters(state).get("generator")))
    assert int(state.step) == 0
    assert not same(parameters(make_system(name).init(jax.random.key(2))), parameters(earlier))
    for other in ("opt_state", "generator_opt", "discriminator_opt"):
        if hasattr(state, other):  # moments and counts
            assert all(not np.any(leaf) for leaf in jax.tree.leaves(getattr(state, other)))


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_starts_with_the_embedded_bundle(name):
    config = load_config(name, "small", init_from="embedded")
    bundle = load_bundle()
    config, note = with_emotions(config, epath.Path("unused"))
    if emotions := bundle.emotions_of(name):
        assert tuple(config.options["emotions"]) == emotions and note.endswith("(those of embedded)")
    state = system_without_data(config, code_channels=34).init(jax.random.key(0))
    ours = state.params if hasattr(state, "params") else state.generator
    assert same(ours, bundle.network(name).params)


def test_the_discriminator_starts_anew_where_the_origin_is_a_bundle(tiny_bundle):
    changes = {"model": {**CONFIGS["voicegan"]}}
    state = make_system("voicegan", init_from=str(tiny_bundle), **changes).init(jax.random.key(3))
    anew = make_system("voicegan", **changes).init(jax.random.key(3))
    assert same(state.generator, load_bundle(tiny_bundle).network("voicegan").params)
    assert same(state.discriminator, anew.discriminator)


@pytest.mark.usefixtures("quick_programs")
def test_a_training_that_goes_on_does_not_need_its_origin(tmp_path, capsys):
    data = write_voices(tmp_path / "data")
    train_voices(data, tmp_path / "first", steps=2)
    train_voices(data, tmp_path / "second", steps=1, init_from=str(tmp_path / "first"))
    assert f"voicegan starts with parameters of {tmp_path / 'first'}" in capsys.readouterr().out
    assert [record["step"] for record in records(tmp_path / "second")] == [0, 1, 1]
    (tmp_path / "first").rename(tmp_path / "elsewhere")
    train_voices(data, tmp_path / "second", steps=2, init_from=str(tmp_path / "first"))
    assert "resumed voicegan from step 1" in capsys.readouterr().out
    assert load_for_inference(tmp_path / "second").step == 2


def test_what_does_not_fit_is_named(tiny_bundle, tmp_path):
    def init(name, origin, **changes):
        make_system(name, init_from=str(origin), **changes).init(jax.random.key(0))

    with pytest.raises(ConfigError) as caught:
        init("speechsplit", tiny_bundle)
    sentence = str(caught.value)
    assert sentence.startswith(
        f"config.init_from: the speechsplit of {tiny_bundle} does not fit: content.blocks.0.conv"
    )
    assert sentence.count(" there and ") == 3 and " more; give --config.model." in sentence
    assert "\n" not in sentence and len(sentence) < 1200
    write_workdir(make_system("voicegan"), tmp_path)
    wider = {**load_config("voicegan").model, "generator_widths": (32, 32, 32)}
    with pytest.raises(ConfigError, match="voicegan of .* layers.2.kernel is .*give --config.model.generator_widths="):
        init("voicegan", tmp_path, model=wider)
    with pytest.raises(ConfigError, match="discriminator of .* not fit: .*model.discriminator_widths=32,32"):
        init("voicegan", tmp_path, model={**load_config("voicegan").model, "discriminator_widths": (16, 16)})
    with pytest.raises(ConfigError, match=r"holds a training of voicegan; give one of waveglow"):
        init("waveglow", tmp_path)


def test_what_is_not_there_is_named(tiny_bundle, tmp_path):
    for name, origin, error, sentence in (
        ("timbre_converter", tiny_bundle, BundleError, "has no timbre_converter network"),
        ("speechsplit", tmp_path, CheckpointError, "holds no checkpoint"),
        ("codegan", tmp_path / "none", CheckpointError, "holds no checkpoint"),
    ):
        with pytest.raises(error, match=sentence):
            make_system(name, init_from=str(origin)).init(jax.random.key(0))


def test_emotions_are_those_of_the_origin(tiny_bundle, tmp_path):
    def settled(*emotions, **changes):
        config = load_config("codegan", options={"emotions": emotions}, **changes)
        return with_emotions(config, epath.Path(tmp_path))[0].options["emotions"]

    bundle = str(tiny_bundle)
    assert known_emotions(bundle, "codegan") == EMOTIONS
    assert tuple(settled(init_from=bundle)) == tuple(settled(*EMOTIONS, init_from=bundle)) == EMOTIONS
    with pytest.raises(ConfigError, match="emotions is happy,sad and the codegan of .* knows .*; leave .* empty"):
        settled("happy", "sad", init_from=bundle)
    with pytest.raises(ConfigError, match="emotions is sad; name at least two"):
        settled("sad")
    # A training that goes on has its own, whatever it started with and whatever the data has now.
    system = make_system("codegan", options={"emotions": ("angry", "sad", "calm")})
    write_workdir(system, tmp_path)
    assert settled() == settled(init_from=bundle) == ["angry", "sad", "calm"]
