"""One of several processes that train together: `process_worker.py ADDRESS:PORT/COUNT/INDEX STEPS OUT SYSTEM...`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import jax
import numpy as np

from evc_jax.training import parallel, processes
from support.tiny_systems import BATCH, exact_enough, make_system, quick_compilation, run_steps


def main(address, steps, out, *systems):
    processes.connect(address)
    share = BATCH // jax.process_count()
    own = slice(jax.process_index() * share, (jax.process_index() + 1) * share)
    for name in systems:
        with exact_enough(name), quick_compilation():
            params, metrics = run_steps(make_system(name), parallel.device_mesh(), int(steps), own)
        if jax.process_index() == 0:
            leaves = {f"leaf{i}": leaf for i, leaf in enumerate(jax.tree.leaves(params))}
            by_name = {key: np.array([step[key] for step in metrics]) for key in metrics[0]}
            np.savez(Path(out) / f"{name}.npz", **leaves, **by_name)


if __name__ == "__main__":
    main(*sys.argv[1:])
