"""What a training step costs, and what that means on one device and on many: the arithmetic of `docs/scaling.md`."""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
from jax.sharding import AbstractMesh

from evc_jax.errors import ConfigError
from evc_jax.training import parallel
from evc_jax.training.config import TrainConfig
from evc_jax.training.flops import count_flops, count_loop_iterations, count_reduced_bytes, find_accelerator
from evc_jax.training.systems.fake_data import batch_shapes, system_without_data
from evc_jax.training.systems.gan import GanSystem


@dataclass(frozen=True)
class StepCost:
    """One step of the training on one device.

    Attributes:
      weights: trained ones, of all players.
      samples: in a step; for a GAN those of all its critic updates.
      flops: of matrix products and convolutions.
      loop_iterations: time steps of recurrent networks (and updates of a critic) that follow one another.
      synchronisations: how often all devices wait for each other.
      reduced_bytes: averaged over all devices.
      input_bytes: of the batch.
    """

    system: str
    weights: int
    samples: int
    flops: float
    loop_iterations: int
    synchronisations: int
    reduced_bytes: int
    input_bytes: int


@dataclass(frozen=True)
class Cluster:
    """Devices of one kind and what joins them.

    Attributes:
      kind: as in `hardware.ACCELERATORS`.
      devices_per_host: that share one process's input pipeline.
      domain: devices within the fast links' reach.
      fast_bytes_per_s: that a device sends around a ring of these links, both directions together.
      slow_bytes_per_s: that a device sends to other domains.
      hop_s: what each further device of a ring adds to an all-reduce of nothing; assumed, not published.
      dimensions: of the torus that the fast links make.
      memory_bytes_per_s: to a device's own memory.
      iteration_s: the least that one time step of an LSTM takes; assumed, not published.
    """

    kind: str
    devices_per_host: int
    domain: int
    fast_bytes_per_s: float
    slow_bytes_per_s: float
    hop_s: float
    dimensions: int
    memory_bytes_per_s: float
    iteration_s: float


# Cloud TPU documentation: 400 and 1200 GB/s in and out of a chip over 4 and 6 links; one torus axis has two links, so a
# quarter and a sixth of that goes out each way. H100: NVLink 900 GB/s in and out; a 400 Gb/s network card per GPU.
CLUSTERS = (
    Cluster("TPU v5e", 4, 256, 100e9, 100e9, 1e-6, 2, 819e9, 3e-6),
    Cluster("TPU v5p", 4, 8960, 200e9, 200e9, 1e-6, 3, 2765e9, 3e-6),
    Cluster("H100", 8, 8, 450e9, 50e9, 3e-6, 1, 3350e9, 6e-6),
)


@dataclass(frozen=True)
class Prediction:
    """A step's time. Its parts on the device are added up, as if nothing overlapped; input is read meanwhile."""

    compute_s: float
    recurrence_s: float
    update_s: float
    reduction_s: float
    input_s: float

    @property
    def step_s(self) -> float:
        return max(self.compute_s + self.recurrence_s + self.update_s + self.reduction_s, self.input_s)

    @property
    def limit(self) -> str:
        """What takes longest."""
        if self.input_s == self.step_s:
            return "input"
        parts = {
            "compute": self.compute_s,
            "recurrence": self.recurrence_s,
            "memory": self.update_s,
            "all-reduce": self.reduction_s,
        }
        return max(parts, key=parts.__getitem__)


def step_cost(config: TrainConfig) -> StepCost:
    """Counts one step at the configuration's batch size; nothing is compiled or allocated, and no data is needed."""
    system = system_without_data(config)
    key = jax.eval_shape(lambda: jax.random.key(0))
    state = jax.eval_shape(system.init, key)
    # Of two devices that need not be there, since a single one averages nothing.
    batch = batch_shapes(system, 2 * config.batch_size * config.accumulate)
    step = parallel.map_step(system.step, AbstractMesh((2,), (parallel.AXIS,)))
    players = (state.generator, state.discriminator) if isinstance(system, GanSystem) else state.params
    critic_steps = getattr(system.options, "critic_steps", 0)
    return StepCost(
        system=config.system,
        weights=sum(leaf.size for leaf in jax.tree.leaves(players)),
        samples=config.batch_size * config.accumulate * max(1, critic_steps),
        flops=count_flops(step, state, batch, key),
        loop_iterations=count_loop_iterations(step, state, batch, key),
        synchronisations=critic_steps + 1,
        reduced_bytes=count_reduced_bytes(step, state, batch, key),
        input_bytes=sum(leaf.size * leaf.dtype.itemsize for leaf in batch.values()) // 2,
    )


def predict(
    cost: StepCost,
    cluster: Cluster,
    devices: int,
    utilisation: float,
    compute_dtype: str,
    samples_per_s: float = math.inf,
) -> Prediction:
    """The step's time when every one of the devices computes a batch of this cost.

    Args:
      cost: of one device's share of the batch.
      cluster: what it runs on.
      devices: their number.
      utilisation: share of the published peak that matrix products and convolutions reach.
      compute_dtype: type of the arithmetic.
      samples_per_s: that one process's input pipeline reads.

    Raises:
      ConfigError: a utilisation, number or type that cannot be.
    """
    accelerator = find_accelerator(cluster.kind)
    peak = accelerator and accelerator.peak_flops_per_s(compute_dtype)
    if not (peak and 0 < utilisation <= 1 and devices >= 1):
        raise ConfigError(
            f"{devices} devices of kind {cluster.kind} at a utilisation of {utilisation} in {compute_dtype} cannot be "
            "predicted; give at least one device, a share between 0 and 1, and float32 or bfloat16."
        )
    return Prediction(
        compute_s=cost.flops / (peak * utilisation),
        recurrence_s=cost.loop_iterations * cluster.iteration_s,
        # Adam reads weight, gradient and both moments, and writes all but the gradient.
        update_s=7 * cost.reduced_bytes / cluster.memory_bytes_per_s,
        reduction_s=reduction_s(cluster, devices, cost.reduced_bytes, cost.synchronisations),
        input_s=cost.samples * min(devices, cluster.devices_per_host) / samples_per_s,
    )


def reduction_s(cluster: Cluster, devices: int, size_bytes: int, synchronisations: int = 1) -> float:
    """Time of all-reduces: rings within a domain, then a ring of domains, each device with its share of the bytes.

    A ring of n devices moves 2 (n - 1) / n of the bytes over each link (Patarasuk and Yuan, 2009).
    """
    inside = min(devices, cluster.domain)
    domains = math.ceil(devices / cluster.domain)
    moved = 2 * (inside - 1) / inside * size_bytes / cluster.fast_bytes_per_s
    moved += 2 * (domains - 1) / domains * size_bytes / inside / cluster.slow_bytes_per_s
    edge = inside ** (1 / cluster.dimensions)
    hops = 2 * (cluster.dimensions * (edge - 1) + (domains - 1))
    return moved + synchronisations * hops * cluster.hop_s
