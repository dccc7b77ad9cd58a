"""What the trainings of VoiceGAN and CodeGAN share: several critic updates and one of the generator as one step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from evc_jax.models.gan import GanNetworks, Metrics
from evc_jax.training.config import TrainConfig
from evc_jax.training.parallel import mean_over_devices
from evc_jax.training.state import GanState, Params, apply_gradients, make_optimizer, sample_keys

Batch = dict[str, jax.Array]
# (discriminator, generator, batch, keys) -> loss, metrics; the player that is trained comes first.
Loss = Callable[[Params, Params, Batch, jax.Array], tuple[jax.Array, Metrics]]


class GanTrainer:
    """Alternates the two players' updates.

    NOTE: one step is `critic_steps` updates of the critic, each on its own samples, and one of the generator; the
    reference counts each critic update as a step, so that its 2 M steps are 400 k here.
    """

    def __init__(self, networks: GanNetworks, config: TrainConfig, critic_steps: int):
        self.networks = networks
        self.critic_steps = critic_steps
        self._generator_optimizer = make_optimizer(config.optimizer, config.steps)
        self._critic_optimizer = make_optimizer(config.optimizer, config.steps, updates_per_step=critic_steps)

    def init(self, key: jax.Array) -> GanState:
        """Both players from their own keys."""
        generator = self.networks.generator.init(jax.random.fold_in(key, 0))
        discriminator = self.networks.discriminator.init(jax.random.fold_in(key, 1))
        return GanState(
            step=jnp.zeros((), jnp.int32),
            generator=generator,
            discriminator=discriminator,
            generator_opt=self._generator_optimizer.init(generator),
            discriminator_opt=self._critic_optimizer.init(discriminator),
        )

    def step(
        self, state: GanState, batch: Batch, keys: jax.Array, critic_loss: Loss, generator_loss: Loss
    ) -> tuple[GanState, Metrics]:
        """One step.

        Args:
          state: both players.
          batch: leaves [B, critic_steps, ...]. Samples come first, so that laying the batch over devices leaves each
            critic update the same samples on any number of devices.
          keys: one per sample, [B, critic_steps].
          critic_loss: of (discriminator, generator, batch, keys), the batch's leaves being [B, ...].
          generator_loss: of (generator, discriminator, batch, keys); it gets the last update's samples.
        """

        def critic_update(carry, inputs):
            discriminator, opt_state = carry
            gradients, metrics = jax.grad(critic_loss, has_aux=True)(discriminator, state.generator, *inputs)
            gradients, metrics = mean_over_devices((gradients, metrics))
            return apply_gradients(self._critic_optimizer, gradients, discriminator, opt_state), metrics

        by_update = jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), (batch, keys))
        critic = (state.discriminator, state.discriminator_opt)
        (discriminator, discriminator_opt), critic_metrics = jax.lax.scan(critic_update, critic, by_update)

        last: Any = jax.tree.map(lambda leaf: leaf[:, -1], (batch, keys))
        gradients, metrics = jax.grad(generator_loss, has_aux=True)(state.generator, discriminator, *last)
        gradients, metrics = mean_over_devices((gradients, metrics))
        generator, generator_opt = apply_gradients(
            self._generator_optimizer, gradients, state.generator, state.generator_opt
        )
        state = GanState(
            step=state.step + 1,
            generator=generator,
            discriminator=discriminator,
            generator_opt=generator_opt,
            discriminator_opt=discriminator_opt,
        )
        return state, {**jax.tree.map(jnp.mean, critic_metrics), **metrics}


class GanSystem:
    """The part of a GAN's training that does not depend on what it makes.

    A system sets `trainer` and has losses of its own: `critic_loss(discriminator, generator, batch, keys)` and
    `generator_loss(generator, discriminator, batch, keys)`.
    """

    trainer: GanTrainer

    def init(self, key: jax.Array) -> GanState:
        return self.trainer.init(key)

    def step(self, state: GanState, batch: Batch, key: jax.Array) -> tuple[GanState, Metrics]:
        keys = jax.vmap(lambda index: sample_keys(key, state.step, index))(batch["index"])
        return self.trainer.step(state, batch, keys, self.critic_loss, self.generator_loss)

    def evaluate(self, state: GanState, batch: Batch, key: jax.Array) -> Metrics:
        """Both losses on speakers that were not trained on."""
        keys = sample_keys(key, 0, batch["index"])
        critic = self.critic_loss(state.discriminator, state.generator, batch, keys)[1]
        return {**critic, **self.generator_loss(state.generator, state.discriminator, batch, keys)[1]}


def group_samples(batch: dict[str, Any], size: int) -> dict[str, Any]:
    """Leaves [B * size, ...] as [B, size, ...]."""
    return {name: value.reshape(-1, size, *value.shape[1:]) for name, value in batch.items()}
