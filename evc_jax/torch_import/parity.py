"""Comparison of our networks with golden vectors computed by the original PyTorch implementation.

A golden folder holds `.npz` files with weights, inputs, outputs, losses and gradients of the originals. The relative
error of a tensor is max |ours - theirs| / max |theirs|. Gradients that cancel to zero (of a bias before an instance
norm, say) hold nothing but rounding errors of larger terms; what a gradient is divided by is therefore at least a
thousandth of the largest gradient of its group, which makes the tolerance there ten float32 roundings of the largest.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from evc_jax.models.network import Params
from evc_jax.torch_import.torch_names import Weight, to_torch

OUTPUT_TOLERANCE = 1e-4
GRADIENT_TOLERANCE = 1e-3
GRADIENT_FLOOR = 1e-3

Golden = Mapping[str, np.ndarray]


@dataclasses.dataclass
class Report:
    """Relative errors of one file by the kind of what was compared: outputs, losses, gradients.

    Attributes:
      errors: by kind and name.
      in_float32: the report that made this one, in float64, necessary.
    """

    errors: dict[str, dict[str, float]] = dataclasses.field(
        default_factory=lambda: {"outputs": {}, "losses": {}, "gradients": {}}
    )
    in_float32: Report | None = None

    def output(self, name: str, ours, theirs) -> None:
        """Compares an output."""
        self.errors["outputs"][name] = relative_error(ours, theirs)

    def loss(self, name: str, ours, theirs, floor: float = 0.0) -> None:
        """Compares a loss."""
        self.errors["losses"][name] = relative_error(ours, theirs, floor)

    def gradients(self, grads: Params, weights: list[Weight], golden: Golden, group: str) -> None:
        """Compares a tree of gradients with `golden`'s group; where it holds norms only, the norms."""
        theirs = within(golden, group)
        ours = to_torch(grads, weights)
        unknown = sorted(set(theirs) - set(ours))
        if unknown:
            raise KeyError(f"{group} holds gradients of weights that our network lacks: {unknown}.")
        tensors = [value for value in theirs.values() if np.ndim(value)]
        floor = GRADIENT_FLOOR * max((float(np.abs(value).max()) for value in tensors), default=0.0)
        for name, value in theirs.items():
            mine = ours[name].astype(np.float64)
            compared = mine if np.ndim(value) else np.linalg.norm(mine)
            self.errors["gradients"][f"{group}/{name}"] = relative_error(compared, value, floor)

    def largest(self, kind: str) -> float:
        """The largest error of a kind; NaN counts as infinite, nothing compared as 0."""
        values = self.errors[kind].values()
        return max((float("inf") if np.isnan(v) else v for v in values), default=0.0)

    def summary(self) -> str:
        """The largest error of each kind that was compared."""
        return "  ".join(f"{kind} {self.largest(kind):.1e}" for kind, errors in self.errors.items() if errors)

    @property
    def passed(self) -> bool:
        """Whether every error is within its tolerance."""
        within_outputs = max(self.largest("outputs"), self.largest("losses")) <= OUTPUT_TOLERANCE
        return within_outputs and self.largest("gradients") <= GRADIENT_TOLERANCE


def relative_error(ours, theirs, floor: float = 0.0) -> float:
    """max |ours - theirs| / max |theirs|, the divisor at least `floor`; the absolute error where theirs is all zero.

    Raises:
      ValueError: the shapes differ.
    """
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    if ours.shape != theirs.shape:
        raise ValueError(f"Shapes differ: ours {ours.shape}, theirs {theirs.shape}.")
    if ours.size == 0:
        return 0.0
    scale = max(np.abs(theirs).max(), floor)
    return float(np.abs(ours - theirs).max() / (scale if scale > 0 else 1.0))


def within(golden: Golden, group: str) -> dict[str, np.ndarray]:
    """The entries `group/name` as `name`."""
    return {key.removeprefix(f"{group}/"): golden[key] for key in golden if key.startswith(f"{group}/")}
