"""Times training steps on the devices of this machine, and the reading of their data.

    python scripts/measure_steps.py --output steps.json
    python scripts/measure_steps.py --systems=waveglow --batch=2 --steps=3
    python scripts/measure_steps.py --data=datasets --datasets=ravdess,ljspeech --output steps.json

Steps run on random numbers of the right shapes, so that no dataset and no trained SpeechSplit is needed; --batch is
over all devices. With --data it times what one process reads instead. The figures of docs/scaling.md were made with
this and scripts/scaling_table.py. Seconds of threads (cpu_s) hardly depend on what else the machine does.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from evc_jax.errors import EvcError
from evc_jax.training import parallel
from evc_jax.training.config import SYSTEMS, TrainConfig, load_config_file, parse
from evc_jax.training.flops import count_flops, peak_flops_per_s
from evc_jax.training.systems.fake_data import synthetic_batch, system_without_data

CONFIGS = Path(__file__).resolve().parent.parent / "configs"


def load_config(name: str, variant: str, **changes) -> TrainConfig:
    """`configs/NAME.py:VARIANT` with some keys changed."""
    config = load_config_file(CONFIGS / f"{name}.py", variant)
    config.update_from_flattened_dict(changes)
    return parse(config)


def measure_step(config: TrainConfig, steps: int) -> dict:
    """Median seconds of a step after the first, which compiles: of the clock, and of all this process's threads."""
    system, mesh = system_without_data(config), parallel.device_mesh()
    parallel.local_batch_size(config.batch_size, mesh)
    key = parallel.replicate(jax.random.key(0), mesh)
    state = parallel.init_replicated(system.init, key, mesh)
    batch = parallel.shard_batch(synthetic_batch(system, config.batch_size), mesh)
    step = parallel.map_step(system.step, mesh)
    flops, seconds = count_flops(step, state, batch, key), []
    for _ in range(steps + 1):
        start = time.perf_counter(), time.process_time()
        state, metrics = jax.block_until_ready(step(state, batch, key))
        seconds.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    if not all(jnp.isfinite(value) for value in metrics.values()):
        print(f"{config.system}: not finite on random numbers; times are right all the same", file=sys.stderr)
    (median, cpu), peak = np.median(seconds[1:], axis=0), peak_flops_per_s(jax.devices()[0], config.compute_dtype)
    return {
        "batch": config.batch_size,
        "first_s": round(seconds[0][0], 3),
        "step_s": round(float(median), 5),
        "cpu_s": round(float(cpu), 5),
        "gflops_per_s": round(float(flops / median) / 1e9, 2),  # per device
        "gflops_per_cpu_s": round(float(flops / cpu) / 1e9, 2),
        "utilisation": peak and round(float(flops / median) / peak, 4),
    }


def measure_reading(config: TrainConfig, seconds: float) -> dict:
    """Samples that one process reads, crops and batches, per second of the clock and of its threads."""
    system = system_without_data(config)
    batches = iter(system.data("train", config.batch_size))
    next(batches)
    start, samples = (time.perf_counter(), time.process_time()), 0
    while (elapsed := time.perf_counter() - start[0]) < seconds:
        samples += next(batches)["index"].size
    cpu = time.process_time() - start[1]
    return {"samples_per_s": round(samples / elapsed, 1), "samples_per_cpu_s": round(samples / cpu, 1)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", default=",".join(SYSTEMS), help="joined by commas; default: all")
    parser.add_argument("--variant", default="full", help="of the configs; default: full")
    parser.add_argument("--batch", type=int, help="default: the config's")
    parser.add_argument("--dtype", default="float32", help="compute_dtype; default: float32")
    parser.add_argument("--steps", type=int, default=5, help="timed, after one that compiles; default: 5")
    parser.add_argument("--data", help="folder of prepared datasets, to time their reading instead of steps")
    parser.add_argument("--datasets", help="names joined by commas; default: the config's")
    parser.add_argument("--seconds", type=float, default=5.0, help="of reading; default: 5")
    parser.add_argument("--output", type=Path, help="JSON file that results are added to")
    arguments = parser.parse_args()
    device = jax.devices()[0]
    where = {"device": device.device_kind, "devices": jax.device_count(), "cores": os.cpu_count()}
    results = {**where, "systems": {}}
    if arguments.output and arguments.output.exists():
        results = {**json.loads(arguments.output.read_text()), **where}
    changes = {"compute_dtype": arguments.dtype}
    changes |= {"batch_size": arguments.batch} if arguments.batch else {}
    changes |= {"data.data_dir": arguments.data} if arguments.data else {}
    changes |= {"data.datasets": tuple(arguments.datasets.split(","))} if arguments.datasets else {}
    try:
        for name in arguments.systems.split(","):
            if name not in SYSTEMS:
                raise EvcError(f"There is no system {name!r}; name some of {', '.join(SYSTEMS)}.")
            config = load_config(name, arguments.variant, **changes)
            if arguments.data:
                measured = measure_reading(config, arguments.seconds)
            else:
                measured = measure_step(config, arguments.steps)
            results["systems"].setdefault(name, {}).update(measured)
            print(name, json.dumps(measured), flush=True)
    except EvcError as error:
        print(f"measure_steps: {error}", file=sys.stderr)
        return 2
    if arguments.output:
        arguments.output.write_text(json.dumps(results, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
