"""What the trainings of VoiceGAN and CodeGAN share: several updates of the discriminator and one of
the generator as a step."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, ClassVar

import grain
import jax
import jax.numpy as jnp
from etils import epath

from evc_jax.data import pipeline
from evc_jax.models.gan.losses import GanNetworks
from evc_jax.models.network import Network
from evc_jax.pretrained.start import initial_discriminator, initial_params
from evc_jax.training.config import TrainConfig
from evc_jax.training.parallel import mean_gradients, mean_over_devices
from evc_jax.training.state import GanState, apply_gradients, make_optimizer, sample_keys, start_ema, update_ema
from evc_jax.training.system import Batch, Metrics, System


class GanSystem(System):
    """The part of a GAN's training that does not depend on what it makes.

    NOTE: one step is `discriminator_steps` updates of the discriminator, each on its own samples, and one of the
    generator on the last ones; the reference counts each of them as a step, so that its 2 M steps are 400 k here.
    """

    generator_type: ClassVar[type]
    discriminator_type: ClassVar[type]

    def __init__(self, config: TrainConfig, workdir: epath.Path):
        super().__init__(config, workdir)
        self.model = self.network_config()
        self.nets = GanNetworks(Network(self.generator_type, self.model), Network(self.discriminator_type, self.model))
        # By the clock the count of the schedule is set before each step.
        updates = 1 if config.minutes else self.options.discriminator_steps
        self._generator_optimizer = make_optimizer(config.optimizer, config.steps)
        self._discriminator_optimizer = make_optimizer(config.optimizer, config.steps, updates_per_step=updates)

    @abc.abstractmethod
    def draw(self, batch: Batch, keys: jax.Array, batch_mean: Callable = mean_over_devices) -> Batch:
        """Adds what is random to samples [B]; `keys` [B] are the samples' own, `batch_mean` makes a mean over all."""

    @abc.abstractmethod
    def fake(self, generator: Any, batch: Batch) -> jax.Array:
        """What the generator makes of samples [B]."""

    @abc.abstractmethod
    def discriminator_loss(self, discriminator: Any, batch: Batch) -> tuple[jax.Array, Metrics]:
        """Loss and metrics, means over samples [B], whose fakes are in the batch as "fake"."""

    @abc.abstractmethod
    def generator_loss(self, generator: Any, discriminator: Any, batch: Batch) -> tuple[jax.Array, Metrics]:
        """Loss and metrics, means over samples [B]."""

    @abc.abstractmethod
    def records(self, split: str) -> Any:
        """Training or validation samples, each a dict of arrays, as a `sampling.Table`."""

    def network_config(self) -> Any:
        """Settings of generator and discriminator."""
        return self.config.network_config(self.config_type)

    def init(self, key: jax.Array) -> GanState:
        """Generator and discriminator from their own keys, or those of `origin`, which may have no discriminator."""
        origin, name = self.origin, self.config.system
        generator = initial_params(origin, name, self.nets.generator) if origin else None
        discriminator = initial_discriminator(origin, name, self.nets.discriminator) if origin else None
        if generator is None:
            generator = self.nets.generator.init(jax.random.fold_in(key, 0))
        if discriminator is None:
            discriminator = self.nets.discriminator.init(jax.random.fold_in(key, 1))
        return GanState(
            step=jnp.zeros((), jnp.int32),
            generator=generator,
            discriminator=discriminator,
            generator_opt=self._generator_optimizer.init(generator),
            discriminator_opt=self._discriminator_optimizer.init(discriminator),
            ema=start_ema(generator, self.config.ema_decay),
        )

    def step(self, state: GanState, batch: Batch, key: jax.Array) -> tuple[GanState, Metrics]:
        """One step; the batch's leaves are [B, discriminator_steps, ...].

        Samples come first, so that laying the batch over devices leaves each update the same samples on any
        number of devices.
        """
        keys = jax.vmap(lambda index: sample_keys(key, state.step, index))(batch["index"])
        updates = jax.vmap(self.draw, in_axes=1)(batch, keys)  # [discriminator_steps, B, ...]
        updates["fake"] = self._fakes(state.generator, updates)

        def discriminator_update(carry, samples):
            discriminator, opt_state = carry
            grads, metrics = mean_gradients(self.discriminator_loss, discriminator, samples, self.config.accumulate)
            return apply_gradients(self._discriminator_optimizer, grads, discriminator, opt_state), metrics

        before = (state.discriminator, state.discriminator_opt)
        (discriminator, discriminator_opt), of_updates = jax.lax.scan(discriminator_update, before, updates)
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
        return state, {**jax.tree.map(jnp.mean, of_updates), **metrics}

    def _fakes(self, generator: Any, updates: Batch) -> jax.Array:
        """The fakes of all updates [discriminator_steps, B, ...], for which the generator stays the same.

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
        """Both losses on samples that are not trained on; the batch's leaves are [B, ...]."""
        generator = self.evaluation_params(state)
        # The weights of classes average to one over the training data; a sample that is evaluated alone keeps its own.
        samples = self.draw(batch, sample_keys(key, 0, batch["index"]), jnp.ones_like)
        samples["fake"] = self.fake(generator, samples)
        metrics = self.discriminator_loss(state.discriminator, samples)[1]
        return {**metrics, **self.generator_loss(generator, state.discriminator, samples)[1]}

    def data(self, split: str, batch_size: int, first_sample: int = 0) -> grain.IterDataset:
        """Batches of samples, as `step` and `evaluate` take them."""
        # A training step takes a batch of samples for each update of the discriminator.
        size = self.options.discriminator_steps if split == "train" else 1
        options = self.reading_options(split, first_sample * size)
        dataset = pipeline.build(self.records(split), None, batch_size * size, **options)
        return dataset.map(lambda batch: group_samples(batch, size)) if split == "train" else dataset

    def evaluation_params(self, state: GanState) -> Any:
        return state.generator if state.ema is None else state.ema


def group_samples(batch: dict[str, Any], size: int) -> dict[str, Any]:
    """Leaves [B * size, ...] as [B, size, ...].

    The first B samples are the first group's: which samples an update takes does not depend on the number of
    processes that read them.
    """
    return {name: value.reshape(size, -1, *value.shape[1:]).swapaxes(0, 1) for name, value in batch.items()}
