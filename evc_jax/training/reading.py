"""How each process of a training reads its share of the data, whatever the system."""

from __future__ import annotations

from typing import Any

import jax

from evc_jax.training.config import TrainConfig


def reading_options(config: TrainConfig, split: str, first_sample: int = 0) -> dict[str, Any]:
    """The options of `pipeline.build` that do not depend on the system.

    Args:
      config: of the training.
      split: "train" is read endlessly, from `first_sample` on; another one once, in order.
      first_sample: how many samples all processes together have taken before.
    """
    return {
        "seed": config.seed,
        "process_index": jax.process_index(),
        "process_count": jax.process_count(),
        "train": split == "train",
        "read_threads": config.data.read_threads,
        "first_sample": first_sample,
    }
