"""Model FLOPs of any JAX function, counted on its jaxpr, and the published peaks of the devices that compute them.

What counts is what PaLM's "model FLOPs utilisation" counts (Chowdhery et al., arXiv 2204.02311, appendix B): the
multiply-adds of matrix products and convolutions, two FLOPs each. Nothing is compiled, allocated or run.

Peaks are dense ones, without sparsity. Sources: Google's Cloud TPU documentation of each version (v2 to TPU7x);
NVIDIA's data sheets of V100, T4, A100, L4, L40S, H100, GH200, H200, B200 and GB200.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import Jaxpr, JaxprEqn, jaxprs_in_params
from jax.interpreters import partial_eval

Cost = Callable[[JaxprEqn], int]

# Words of `jax.Device.device_kind`, in lower case, and TFLOP/s of one JAX device: of bfloat16 products, and of float32
# products at JAX's default precision (one pass of bfloat16 on TPUs, TF32 on NVIDIA's devices since Ampere). The first
# that fits counts: kinds that contain another one's words come before it.
PEAK_TERA_FLOPS = (
    # On v2, v3 and TPU7x a JAX device is half a chip.
    ("tpu v2", 45 / 2, 45 / 2),
    ("tpu v3", 123 / 2, 123 / 2),
    ("tpu v4 lite|tpu v4i", 138.0, 138.0),
    ("tpu v4", 275.0, 275.0),
    ("tpu v5 lite|tpu v5e", 197.0, 197.0),
    ("tpu v5p|tpu v5", 459.0, 459.0),
    ("tpu v6 lite|tpu v6e", 918.0, 918.0),
    ("tpu7x|tpu v7x", 2307 / 2, 2307 / 2),
    # V100 and T4 have no units for bfloat16 or TF32: XLA computes in float32.
    ("v100-pcie", 14.0, 14.0),
    ("v100", 15.7, 15.7),
    ("t4", 8.1, 8.1),
    ("a100", 312.0, 156.0),
    ("l40s", 362.0, 183.0),
    ("l4", 121.0, 60.0),
    ("h100 pcie", 756.0, 378.0),
    ("h100 nvl|h200 nvl", 835.0, 417.5),
    ("h100|gh200|h200", 989.0, 494.5),
    ("b200|gb200", 2250.0, 1125.0),
)


def count_flops(function: Callable[..., Any], *example_args: Any) -> float:
    """FLOPs of `function(*example_args)` in its matrix products and convolutions, two per multiply-add.

    A training step's count includes its gradients, those of a gradient penalty too. Results that nobody uses cost
    nothing, as the compiler drops them. A convolution counts every tap of every output, those on padding too, but not
    those on the zeros between the samples of a transposed one.

    Under `shard_map` (so in every step of `parallel.map_step`) it is one device's share. A `lax.scan` counts as often
    as it runs, a branch as much as the largest, a `lax.while_loop` once, because its length is not in the jaxpr.
    Recomputation under `jax.checkpoint` is counted, where PaLM's definition would leave it out.

    Args:
      function: anything that JAX can trace; the tracing of a `jax.jit` function is kept for its first call.
      example_args: arrays or `jax.ShapeDtypeStruct`, in any pytrees.
    """
    return float(total_cost(_product_flops, function, *example_args))


def total_cost(cost: Cost, function: Callable[..., Any], *example_args: Any) -> int:
    """The sum of `cost` over the equations of `function(*example_args)` whose results are used, times their runs."""
    jaxpr = jax.make_jaxpr(function)(*example_args).jaxpr
    used, _ = partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))
    return _total(used, cost)


def peak_flops_per_s(device_kind: str, compute_dtype: str) -> float | None:
    """FLOP/s of one device of this `jax.Device.device_kind`; None where it is not in the table, as for CPUs."""
    kind = device_kind.lower()
    if re.search(r"\bmig\b", kind):  # a part of a GPU, of one of many sizes
        return None
    for words, bfloat16, float32 in PEAK_TERA_FLOPS:
        if re.search(rf"\b({words})\b", kind):
            tera_flops = {"bfloat16": bfloat16, "float32": float32}.get(compute_dtype)
            return tera_flops and tera_flops * 1e12
    return None


def _total(jaxpr: Jaxpr, cost: Cost) -> int:
    return sum(cost(equation) + _inner(equation, cost) for equation in jaxpr.eqns)


def _inner(equation: JaxprEqn, cost: Cost) -> int:
    """What the functions inside an equation cost."""
    name, params = equation.primitive.name, equation.params
    if name == "custom_linear_solve":  # holds the operator and its transpose too; only `solve` runs
        params = {"solve": params["jaxprs"].solve}
    totals = [_total(jaxpr, cost) for jaxpr in jaxprs_in_params(params)]
    if name == "cond":
        return max(totals)
    return sum(totals) * (params["length"] if name == "scan" else 1)


def _product_flops(equation: JaxprEqn) -> int:
    shapes = [var.aval.shape for var in (*equation.invars, *equation.outvars) if hasattr(var.aval, "shape")]
    if equation.primitive.name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        return 2 * math.prod(shapes[2]) * math.prod(shapes[0][axis] for axis in contracted)
    if equation.primitive.name == "conv_general_dilated":
        _, kernel, out = shapes
        outputs_axis = equation.params["dimension_numbers"].rhs_spec[0]
        taps_and_inputs = math.prod(kernel) // kernel[outputs_axis]
        return 2 * math.prod(out) * taps_and_inputs // math.prod(equation.params["lhs_dilation"])
    return 0
