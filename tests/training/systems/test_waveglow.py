"""WaveGlow's loss with either prior."""

import jax
import numpy as np
from support.tiny_systems import make_system, quick_compilation

from benchmarks.fake_data import synthetic_batch


def test_losses_of_both_priors_are_of_the_recording_itself():
    """What whitening took out of a recording is the log-determinant that its likelihood lacks."""
    white, shaped = (make_system("waveglow", model={"prior": prior}) for prior in ("white", "shaped"))
    batch, keys = synthetic_batch(shaped, 2), jax.random.split(jax.random.key(0), 2)
    with quick_compilation():
        params = jax.jit(shaped.network.init)(jax.random.key(0))
        losses = [jax.jit(system.loss)(params, batch, keys)[0] for system in (white, shaped)]
    np.testing.assert_allclose(losses[1] - losses[0], batch["log_gain"].mean(), rtol=1e-5)
