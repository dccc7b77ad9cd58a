"""A training that starts with the parameters of another one."""

import jax
import numpy as np
import pytest
from support.tiny_bundles import CONFIGS
from support.tiny_systems import make_system

from evc_jax.errors import BundleError, CheckpointError, ConfigError
from evc_jax.pretrained.bundle import load_bundle


def test_a_training_starts_with_a_bundles_parameters(tiny_bundle):
    system = make_system("speechsplit", model=CONFIGS["speechsplit"], init_from=str(tiny_bundle), ema_decay=0.9)
    state = system.init(jax.random.key(0))
    expected = load_bundle(tiny_bundle).network("speechsplit").params
    for params in (state.params, state.ema):
        assert jax.tree.all(jax.tree.map(np.array_equal, params, expected))


def test_refusals(tiny_bundle, tmp_path):
    def init(name, origin, **changes):
        make_system(name, init_from=str(origin), **changes).init(jax.random.key(0))

    with pytest.raises(ConfigError, match="speechsplit of .* has other sizes than config.model"):
        init("speechsplit", tiny_bundle)
    with pytest.raises(BundleError, match="has no timbre_converter network"):
        init("timbre_converter", tiny_bundle)
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        init("speechsplit", tmp_path)
    with pytest.raises(ConfigError, match="bundles have no discriminator: start voicegan anew"):
        init("voicegan", tiny_bundle)
