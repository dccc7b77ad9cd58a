"""The state of a training: pure pytrees, donated to every step and saved by Orbax."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from evc_jax.models.network import pytree_dataclass
from evc_jax.training.config import OptimizerConfig

Params = Any


@pytree_dataclass
class TrainState:
    """One network, its optimizer, and the moving average of its parameters (None without one)."""

    step: jax.Array
    params: Params
    opt_state: optax.OptState
    ema: Params


@pytree_dataclass
class GanState:
    """Generator and discriminator, an optimizer for each, and the generator's moving average (None without one)."""

    step: jax.Array
    generator: Params
    discriminator: Params
    generator_opt: optax.OptState
    discriminator_opt: optax.OptState
    ema: Params


def make_optimizer(config: OptimizerConfig, steps: int, updates_per_step: int = 1) -> optax.GradientTransformation:
    """Adam with the configured schedule.

    Args:
      config: rates and moments.
      steps: length of the training in steps.
      updates_per_step: how often this optimizer is applied in one step (a GAN's discriminator: several times), so that
        its schedule, which counts updates, ends with the training.
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
    # The same structure with and without clipping, so that a resumed training may switch it.
    clip = optax.identity() if config.clip_norm is None else optax.clip_by_global_norm(config.clip_norm)
    return optax.chain(clip, optax.adam(schedule, b1=config.beta1, b2=config.beta2))


def apply_gradients(optimizer: optax.GradientTransformation, grads: Params, params: Params, opt_state: optax.OptState):
    """One optimizer update; returns the new parameters and optimizer state."""
    updates, opt_state = optimizer.update(grads, opt_state, params)
    return optax.apply_updates(params, updates), opt_state


def start_ema(params: Params, decay: float) -> Params:
    """The average before the first step; None when `decay` is 0, which keeps none."""
    return jax.tree.map(jnp.array, params) if decay else None


def update_ema(ema: Params, params: Params, decay: float, step: jax.Array) -> Params:
    """The exponential moving average after finished step number `step` (from 0).

    It averages over fewer steps at first, so that the initial weights are soon forgotten.
    """
    if ema is None:
        return None
    kept = jnp.minimum(decay, (1.0 + step) / (10.0 + step))
    # In this form the average of a parameter that is not trained stays what it is, bit by bit.
    return jax.tree.map(lambda average, value: average + (1.0 - kept) * (value - average), ema, params)


def sample_keys(key: jax.Array, step: jax.Array | int, index: jax.Array) -> jax.Array:
    """One key per sample, from the run's key, the step and the sample's place in the data.

    Randomness that belongs to samples, not to devices, gives the same training on any number of devices.
    """
    at_step = jax.random.fold_in(key, step)
    return jax.vmap(lambda i: jax.random.fold_in(at_step, i))(jnp.asarray(index, jnp.uint32))
