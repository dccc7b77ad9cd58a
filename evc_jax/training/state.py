"""What a training run carries from step to step: pure pytrees, donated to every step and saved by Orbax."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from evc_jax.models.pytree import record
from evc_jax.training.config import OptimizerConfig

Params = Any


@record
class TrainState:
    """One network and its optimiser."""

    step: jax.Array
    params: Params
    opt_state: optax.OptState


@record
class GanState:
    """Two players, each with its own optimiser."""

    step: jax.Array
    generator: Params
    discriminator: Params
    generator_opt: optax.OptState
    discriminator_opt: optax.OptState


def make_optimizer(config: OptimizerConfig, steps: int, updates_per_step: int = 1) -> optax.GradientTransformation:
    """Adam with the configured schedule.

    Args:
      config: rates and moments.
      steps: length of the training in steps.
      updates_per_step: how often this optimiser is applied in one step (a GAN's critic: several times), so that its
        schedule, which counts updates, ends with the training.
    """
    rate = config.learning_rate
    schedules, boundaries = [optax.constant_schedule(rate)], []
    if config.warmup_steps:
        boundaries = [config.warmup_steps * updates_per_step]
        schedules = [optax.linear_schedule(0.0, rate, boundaries[0]), *schedules]
    if config.decay_from_step is not None:
        start = config.decay_from_step * updates_per_step
        schedules.append(optax.linear_schedule(rate, 0.0, max(1, steps * updates_per_step - start)))
        boundaries.append(start)
    schedule = optax.join_schedules(schedules, boundaries)
    adam = optax.adam(schedule, b1=config.beta1, b2=config.beta2)
    if config.clip_norm is None:
        return adam
    return optax.chain(optax.clip_by_global_norm(config.clip_norm), adam)


def apply_gradients(optimizer: optax.GradientTransformation, grads: Params, params: Params, opt_state: optax.OptState):
    """One optimiser update; returns the new parameters and optimiser state."""
    updates, opt_state = optimizer.update(grads, opt_state, params)
    return optax.apply_updates(params, updates), opt_state


def sample_keys(key: jax.Array, step: jax.Array | int, index: jax.Array) -> jax.Array:
    """One key per sample, from the run's key, the step and the sample's place in the data.

    Randomness that belongs to samples, not to devices, gives the same training on any number of devices.
    """
    at_step = jax.random.fold_in(key, step)
    return jax.vmap(lambda i: jax.random.fold_in(at_step, i))(jnp.asarray(index, jnp.uint32))
