"""Published speeds of accelerators, for utilisation and for `docs/scaling.md`.

Dense peaks, without sparsity. Sources: Google's Cloud TPU documentation of each version (v2 to TPU7x); NVIDIA's data
sheets of V100, T4, A100, L4, L40S, H100, GH200, H200, B200 and GB200.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Accelerator:
    """One device as JAX sees it.

    Attributes:
      name: as it is commonly called.
      kinds: words of `jax.Device.device_kind` that tell it, in lower case.
      bfloat16_flops_per_s: of matrix products of bfloat16.
      float32_flops_per_s: of matrix products of float32 at JAX's default precision: in one pass of bfloat16 on TPUs, in
        TF32 on NVIDIA's devices since Ampere.
    """

    name: str
    kinds: tuple[str, ...]
    bfloat16_flops_per_s: float
    float32_flops_per_s: float

    def peak_flops_per_s(self, compute_dtype: str) -> float | None:
        """The peak in this type of arithmetic; None where it is not published."""
        return {"bfloat16": self.bfloat16_flops_per_s, "float32": self.float32_flops_per_s}.get(compute_dtype)


def _tpu(name: str, kinds: tuple[str, ...], tera_flops: float) -> Accelerator:
    return Accelerator(name, kinds, tera_flops * 1e12, tera_flops * 1e12)


def _gpu(name: str, kinds: tuple[str, ...], bfloat16_tera_flops: float, float32_tera_flops: float) -> Accelerator:
    return Accelerator(name, kinds, bfloat16_tera_flops * 1e12, float32_tera_flops * 1e12)


# The first that fits counts: names that contain another one's words come before it.
ACCELERATORS = (
    # On v2, v3 and TPU7x a JAX device is half a chip.
    _tpu("TPU v2", ("tpu v2",), 45 / 2),
    _tpu("TPU v3", ("tpu v3",), 123 / 2),
    _tpu("TPU v4i", ("tpu v4 lite", "tpu v4i"), 138.0),
    _tpu("TPU v4", ("tpu v4",), 275.0),
    _tpu("TPU v5e", ("tpu v5 lite", "tpu v5e"), 197.0),
    _tpu("TPU v5p", ("tpu v5p", "tpu v5"), 459.0),
    _tpu("TPU v6e", ("tpu v6 lite", "tpu v6e"), 918.0),
    _tpu("TPU7x", ("tpu7x", "tpu v7x"), 2307 / 2),
    # V100 and T4 have no units for bfloat16 or TF32: XLA computes in float32.
    _gpu("V100 PCIe", ("v100-pcie",), 14.0, 14.0),
    _gpu("V100", ("v100",), 15.7, 15.7),
    _gpu("T4", ("t4",), 8.1, 8.1),
    _gpu("A100", ("a100",), 312.0, 156.0),
    _gpu("L40S", ("l40s",), 362.0, 183.0),
    _gpu("L4", ("l4",), 121.0, 60.0),
    _gpu("H100 PCIe", ("h100 pcie",), 756.0, 378.0),
    _gpu("H100 NVL", ("h100 nvl",), 835.0, 417.5),
    _gpu("H200 NVL", ("h200 nvl",), 835.0, 417.5),
    _gpu("H100", ("h100", "gh200"), 989.0, 494.5),
    _gpu("H200", ("h200",), 989.0, 494.5),
    _gpu("B200", ("b200", "gb200"), 2250.0, 1125.0),
)


def find_accelerator(device_kind: str) -> Accelerator | None:
    """The accelerator whose `jax.Device.device_kind` this is; None where it is not in the table, as for CPUs."""
    kind = device_kind.lower()
    if re.search(r"\bmig\b", kind):  # a part of a GPU, of one of many sizes
        return None
    fits = (entry for entry in ACCELERATORS if any(re.search(rf"\b{part}\b", kind) for part in entry.kinds))
    return next(fits, None)
