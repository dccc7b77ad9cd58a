"""What the trainings of VoiceGAN and CodeGAN share: several critic updates and one of the generator as one step."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from evc_jax.models.gan import GanNetworks, Metrics
from evc_jax.training.config import TrainConfig, released
from evc_jax.training.parallel import mean_gradients
from evc_jax.training.state import GanState, apply_gradients, make_optimizer, sample_keys, start_ema, update_ema

Batch = dict[str, jax.Array]


class GanSystem:
    """The part of a GAN's training that does not depend on what it makes.

    A system has, each for samples [B]:
      draw(batch, keys) -> batch: adds what is random, `keys` [B] being the samples' own;
      critic_loss(discriminator, generator, batch) -> loss, metrics: a mean over samples;
      generator_loss(generator, discriminator, batch) -> loss, metrics: likewise.

    NOTE: one step is `critic_steps` updates of the critic, each on its own samples, and one of the generator on the
    last ones; the reference counts each critic update as a step, so that its 2 M steps are 400 k here.
    """

    def __init__(self, config: TrainConfig, networks: GanNetworks, critic_steps: int):
        self.config, self.nets, self.model = config, networks, networks.generator.config
        self._generator_optimizer = make_optimizer(config.optimizer, config.steps)
        self._critic_optimizer = make_optimizer(config.optimizer, config.steps, updates_per_step=critic_steps)

    def init(self, key: jax.Array) -> GanState:
        """Both players from their own keys."""
        generator = self.nets.generator.init(jax.random.fold_in(key, 0))
        discriminator = self.nets.discriminator.init(jax.random.fold_in(key, 1))
        return GanState(
            step=jnp.zeros((), jnp.int32),
            generator=generator,
            discriminator=discriminator,
            generator_opt=self._generator_optimizer.init(generator),
            discriminator_opt=self._critic_optimizer.init(discriminator),
            ema=start_ema(generator, self.config.ema_decay),
        )

    def step(self, state: GanState, batch: Batch, key: jax.Array) -> tuple[GanState, Metrics]:
        """One step; the batch's leaves are [B, critic_steps, ...].

        Samples come first, so that laying the batch over devices leaves each critic update the same samples on any
        number of devices.
        """
        keys = jax.vmap(lambda index: sample_keys(key, state.step, index))(batch["index"])
        updates = jax.vmap(self.draw, in_axes=1)(batch, keys)  # [critic_steps, B, ...]

        def critic_update(carry, samples):
            discriminator, opt_state = carry
            grads, metrics = mean_gradients(
                lambda params, part: self.critic_loss(params, state.generator, part),
                discriminator,
                samples,
                self.config.accumulate,
            )
            return apply_gradients(self._critic_optimizer, grads, discriminator, opt_state), metrics

        critic = (state.discriminator, state.discriminator_opt)
        (discriminator, discriminator_opt), critic_metrics = jax.lax.scan(critic_update, critic, updates)
        grads, metrics = mean_gradients(
            lambda params, part: self.generator_loss(params, discriminator, part),
            state.generator,
            jax.tree.map(lambda leaf: leaf[-1], updates),
            self.config.accumulate,
        )
        generator, generator_opt = apply_gradients(
            self._generator_optimizer, grads, state.generator, state.generator_opt
        )
        state = GanState(
            step=state.step + 1,
            generator=generator,
            discriminator=discriminator,
            generator_opt=generator_opt,
            discriminator_opt=discriminator_opt,
            ema=update_ema(state.ema, generator, self.config.ema_decay, state.step),
        )
        return state, {**jax.tree.map(jnp.mean, critic_metrics), **metrics}

    def evaluate(self, state: GanState, batch: Batch, key: jax.Array) -> Metrics:
        """Both losses on speakers that were not trained on; the batch's leaves are [B, ...]."""
        generator = self.released_params(state)
        samples = self.draw(batch, sample_keys(key, 0, batch["index"]))
        critic = self.critic_loss(state.discriminator, generator, samples)[1]
        return {**critic, **self.generator_loss(generator, state.discriminator, samples)[1]}

    def networks(self) -> dict[str, dict[str, Any]]:
        return {self.config.system: released(self.model)}

    def exported(self, state: GanState) -> dict[str, Any]:
        return {self.config.system: self.released_params(state)}

    def released_params(self, state: GanState) -> Any:
        """The generator to validate and to use: its moving average where there is one."""
        return state.generator if state.ema is None else state.ema


def group_samples(batch: dict[str, Any], size: int) -> dict[str, Any]:
    """Leaves [B * size, ...] as [B, size, ...].

    The first B samples are the first group's: which samples a critic update sees does not depend on the number of
    processes that read them.
    """
    return {name: value.reshape(size, -1, *value.shape[1:]).swapaxes(0, 1) for name, value in batch.items()}
