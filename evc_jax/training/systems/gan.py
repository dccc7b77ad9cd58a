"""What the trainings of VoiceGAN and CodeGAN share: several critic updates and one of the generator as one step."""

from __future__ import annotations

from typing import Any

import grain
import jax
import jax.numpy as jnp

from evc_jax.data import pipeline
from evc_jax.models.gan.losses import GanNetworks, Metrics
from evc_jax.training.config import TrainConfig, inference_config, reading_options
from evc_jax.training.parallel import mean_gradients
from evc_jax.training.state import GanState, apply_gradients, make_optimizer, sample_keys, start_ema, update_ema

Batch = dict[str, jax.Array]


class GanSystem:
    """The part of a GAN's training that does not depend on what it makes.

    A system has, each for samples [B]:
      draw(batch, keys) -> batch: adds what is random, `keys` [B] being the samples' own;
      fake(generator, batch) -> what the generator makes of them;
      critic_loss(discriminator, batch) -> loss, metrics: a mean over samples, whose fakes are in the batch as "fake";
      generator_loss(generator, discriminator, batch) -> loss, metrics: likewise;
    and it has data:
      records(split) -> its training or validation samples, each a dict of arrays, as a random-access source.

    NOTE: one step is `critic_steps` updates of the critic, each on its own samples, and one of the generator on the
    last ones; the reference counts each critic update as a step, so that its 2 M steps are 400 k here.
    """

    def __init__(self, config: TrainConfig, networks: GanNetworks, critic_steps: int):
        self.config, self.nets, self.model = config, networks, networks.generator.config
        self._critic_steps = critic_steps
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
        updates["fake"] = self._fakes(state.generator, updates)

        def critic_update(carry, samples):
            discriminator, opt_state = carry
            grads, metrics = mean_gradients(self.critic_loss, discriminator, samples, self.config.accumulate)
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

    def _fakes(self, generator: Any, updates: Batch) -> jax.Array:
        """The fakes of all critic updates [critic_steps, B, ...], for which the generator stays the same.

        In as many calls as there are micro-batches: without gradients, one for a micro-batch of every update needs no
        more memory than to train on one of them.
        """
        lead, parts = updates["index"].shape, self.config.accumulate
        samples = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), updates)
        if parts == 1:
            fakes = self.fake(generator, samples)
        else:
            split = jax.tree.map(lambda leaf: leaf.reshape(parts, -1, *leaf.shape[1:]), samples)
            fakes = jax.lax.map(lambda part: self.fake(generator, part), split)
            fakes = fakes.reshape(-1, *fakes.shape[2:])
        return fakes.reshape(*lead, *fakes.shape[1:])

    def evaluate(self, state: GanState, batch: Batch, key: jax.Array) -> Metrics:
        """Both losses on speakers that were not trained on; the batch's leaves are [B, ...]."""
        generator = self.evaluation_params(state)
        samples = self.draw(batch, sample_keys(key, 0, batch["index"]))
        samples["fake"] = self.fake(generator, samples)
        critic = self.critic_loss(state.discriminator, samples)[1]
        return {**critic, **self.generator_loss(generator, state.discriminator, samples)[1]}

    def data(self, split: str, batch_size: int, first_sample: int = 0) -> grain.IterDataset:
        """Batches of samples, as `step` and `evaluate` take them."""
        # A training step takes a batch of samples for each of its critic updates.
        size = self._critic_steps if split == "train" else 1
        options = reading_options(self.config, split, first_sample * size)
        dataset = pipeline.build(self.records(split), None, batch_size * size, **options)
        return dataset.map(lambda batch: group_samples(batch, size)) if split == "train" else dataset

    def networks(self) -> dict[str, dict[str, Any]]:
        return {self.config.system: inference_config(self.model)}

    def inference_params(self, state: GanState) -> dict[str, Any]:
        return {self.config.system: self.evaluation_params(state)}

    def evaluation_params(self, state: GanState) -> Any:
        """The generator to validate and to use: its moving average where there is one."""
        return state.generator if state.ema is None else state.ema


def group_samples(batch: dict[str, Any], size: int) -> dict[str, Any]:
    """Leaves [B * size, ...] as [B, size, ...].

    The first B samples are the first group's: which samples a critic update sees does not depend on the number of
    processes that read them.
    """
    return {name: value.reshape(size, -1, *value.shape[1:]).swapaxes(0, 1) for name, value in batch.items()}
