"""From the words of a command line to a training, in a process of its own."""

from __future__ import annotations

import os
from collections.abc import Sequence

from evc_jax.training.logs import set_verbosity


def launch(
    config: str,
    settings: Sequence[str],
    workdir: str | os.PathLike,
    *,
    distributed: str = "",
    distributed_timeout_s: float = 100.0,
    verbosity: str = "warning",
    profiler_port: int = 0,
) -> bool:
    """Trains; whether the training is finished, not asked to stop before its end.

    Args:
      config, settings: see `settings.load_settings`.
      workdir: for checkpoints, metrics and TensorBoard logs; may be in a bucket.
      distributed, distributed_timeout_s: see `processes.joined`.
      verbosity: of libraries, one of `logs.LEVELS`.
      profiler_port: where profiles are served; 0 for nowhere.

    Raises:
      EvcError: see `settings.load_settings` and `loop.train`.
    """
    set_verbosity(verbosity)  # before JAX is imported
    from evc_jax.training.settings import load_settings

    parsed = load_settings(config, settings)
    # After the config is checked: a wrong key must not cost JAX's start-up.
    import jax

    from evc_jax.jax_cache import enable_cache
    from evc_jax.training.loop import train
    from evc_jax.training.processes import joined

    with joined(distributed, distributed_timeout_s):
        enable_cache()
        if profiler_port:
            jax.profiler.start_server(profiler_port)
        return train(parsed, workdir).finished
