"""FLOPs and bytes of a training step of each system, counted on shapes: nothing is compiled, allocated or run.

    python -m benchmarks.step_costs

Prints the table of docs/scaling.md. Counts are those of one device with the batch of the `full` config.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import jax
from jax.extend.core import JaxprEqn, jaxprs_in_params
from jax.sharding import AbstractMesh, AxisType

from benchmarks.fake_data import batch_shapes, system_without_data
from benchmarks.harness import number
from benchmarks.systems import load_config
from evc_jax.evaluation.tables import markdown_table
from evc_jax.training import parallel
from evc_jax.training.config import SYSTEMS, TrainConfig
from evc_jax.training.flops import count_flops, total_cost
from evc_jax.training.systems.gan import GanSystem


@dataclass(frozen=True)
class StepCost:
    """One step on one device.

    Attributes:
      parameters: trained ones, of all networks.
      samples: in a step; for a GAN those of all its critic updates.
      flops: of matrix products and convolutions.
      product_bytes: operands and results of those products, each counted once.
      loop_iterations: time steps of recurrent networks (and updates of a critic) that follow one another.
      reduced_bytes: averaged over all devices.
      state_bytes: kept from step to step: weights, moments, moving average.
      input_bytes: of the batch.
    """

    parameters: int
    samples: int
    flops: float
    product_bytes: int
    loop_iterations: int
    reduced_bytes: int
    state_bytes: int
    input_bytes: int


def step_cost(config: TrainConfig) -> StepCost:
    """Counts one step at the configuration's batch size; no data is needed."""
    system = system_without_data(config)
    key = jax.eval_shape(lambda: jax.random.key(0))
    state = jax.eval_shape(system.init, key)
    # Of two devices that need not be there, since a single one averages nothing.
    batch = batch_shapes(system, 2 * config.batch_size * config.accumulate)
    mesh = AbstractMesh((2,), (parallel.AXIS,), axis_types=(AxisType.Auto,))
    step = parallel.map_step(system.step, mesh)
    networks = (state.generator, state.discriminator) if isinstance(system, GanSystem) else state.params
    return StepCost(
        parameters=sum(leaf.size for leaf in jax.tree.leaves(networks)),
        samples=config.batch_size * config.accumulate * getattr(system.options, "discriminator_steps", 1),
        flops=count_flops(step, state, batch, key),
        product_bytes=total_cost(product_bytes, step, state, batch, key),
        loop_iterations=count_loop_iterations(step, state, batch, key),
        reduced_bytes=count_reduced_bytes(step, state, batch, key),
        state_bytes=_bytes(state),
        input_bytes=_bytes(batch) // 2,
    )


def count_loop_iterations(function: Callable[..., Any], *example_args: Any) -> int:
    """How many iterations of innermost `lax.scan` loops run one after the other: a recurrent network's time steps."""
    return total_cost(_innermost_iterations, function, *example_args)


def count_reduced_bytes(function: Callable[..., Any], *example_args: Any) -> int:
    """Bytes that one call of a function under `shard_map` sums or averages over devices."""
    return total_cost(_reduced_bytes, function, *example_args)


def product_bytes(equation: JaxprEqn) -> int:
    """Bytes of the operands and the result of a matrix product or convolution; a cost for `total_cost`."""
    if equation.primitive.name not in ("dot_general", "conv_general_dilated"):
        return 0
    arrays = (cast(Any, var.aval) for var in (*equation.invars, *equation.outvars))
    return sum(array.size * array.dtype.itemsize for array in arrays)


def table(costs: dict[str, StepCost]) -> str:
    """Markdown, a line for each system."""
    head = ["system", "parameters, M", "samples", "GFLOP", "time steps in sequence", "all-reduced, MB"]
    rows = []
    for name, cost in costs.items():
        work = [number(cost.parameters / 1e6), str(cost.samples), number(cost.flops / 1e9), f"{cost.loop_iterations:,}"]
        sizes = [cost.reduced_bytes / 1e6, cost.flops / cost.reduced_bytes]
        rows.append([name, *work, *map(number, [*sizes, cost.state_bytes / 1e6, cost.input_bytes / 1e6])])
    return markdown_table([*head, "FLOP per such byte", "state, MB", "input, MB"], rows)


def _innermost_iterations(equation: JaxprEqn) -> int:
    return equation.params["length"] if _is_loop(equation) and not _has_loop(equation) else 0


def _is_loop(equation: JaxprEqn) -> bool:
    return equation.primitive.name == "scan"


def _has_loop(equation: JaxprEqn) -> bool:
    inner = (e for jaxpr in jaxprs_in_params(equation.params) for e in jaxpr.eqns)
    return any(_is_loop(e) or _has_loop(e) for e in inner)


def _reduced_bytes(equation: JaxprEqn) -> int:
    if not equation.primitive.name.startswith("psum"):
        return 0
    results = (cast(Any, var.aval) for var in equation.outvars)
    return sum(result.size * result.dtype.itemsize for result in results)


def _bytes(tree: Any) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


if __name__ == "__main__":
    print(table({name: step_cost(load_config(name)) for name in SYSTEMS}))
