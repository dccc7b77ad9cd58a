"""Reading of training data, in samples a second, beside what the training step of the same system consumes.

    python -m benchmarks.reading
    python -m benchmarks.reading --data datasets --datasets ravdess,ljspeech

A sample is one crop, segment, voice or window of codes; a step of a GAN takes as many batches as it has critic
updates. Steps run on random numbers. Without --data a small dataset of synthetic voices is prepared in a temporary
folder. From the second pass on, records come from memory as far as they fit; the first pass decodes them, and "from
disk" keeps none.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grain

from benchmarks.fake_data import system_without_data
from benchmarks.harness import Contender, Work, compare, parser, result, run
from benchmarks.systems import chosen_config, training_step
from benchmarks.voices import prepare_voices
from evc_jax.data import pipeline
from evc_jax.errors import ConfigError
from evc_jax.training.config import SYSTEMS, TrainConfig
from evc_jax.training.systems.single_network import UtteranceSystem

# A turn reads many times as much as is prepared ahead, or it would only find what is there already.
TURNS_AHEAD = 16


def reading(name: str, dataset: grain.IterDataset, batches: int) -> Contender:
    def prepare():
        iterator = iter(dataset)

        def call():
            for _ in range(batches):
                next(iterator)

        return call

    return Contender(name, prepare)


def step_rate(name: str, config: TrainConfig, arguments: argparse.Namespace) -> float:
    """Samples a second that a training step takes."""
    contender, batch = training_step(name, config)
    (timing,) = compare([contender], 0, min_rounds=1 if arguments.quick else 3)
    return batch["index"].size / timing.median_s


def measure(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    names = (arguments.systems or ("f0_converter,voicegan" if arguments.quick else ",".join(SYSTEMS))).split(",")
    if unknown := sorted(set(names) - set(SYSTEMS)):
        raise ConfigError(f"There is no system {', '.join(unknown)}; name some of {', '.join(SYSTEMS)}.")
    configs = {name: chosen_config(name, arguments) for name in names}
    rates = {name: step_rate(name, config, arguments) for name, config in configs.items()}
    results = []
    with _datasets(arguments) as (data_dir, datasets):
        for name, config in configs.items():
            data = dataclasses.replace(config.data, data_dir=str(data_dir), datasets=datasets)
            config = dataclasses.replace(config, data=data)
            results += _of_system(name, config, rates, arguments)
    return results


def _of_system(
    name: str, config: TrainConfig, rates: dict[str, float], arguments: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    system = system_without_data(config)
    batches = pipeline.PREFETCH_BATCHES * (1 if arguments.quick else TURNS_AHEAD)
    samples = batches * next(iter(system.data("train", config.batch_size)))["index"].size
    ways = {"from memory": system.data("train", config.batch_size)}
    if isinstance(system, UtteranceSystem):  # the others have all of their data in memory anyway
        ways["from disk"] = system.data("train", config.batch_size, cache_bytes=0)
    for way, dataset in ways.items():
        seconds = arguments.seconds / 2 / len(rates)
        (timing,) = compare([reading(way, dataset, batches)], seconds, min_rounds=1 if arguments.quick else 3)
        rate, fastest = samples / timing.median_s, max(rates, key=lambda each: rates[each])
        own = f"{rate / rates[name]:,.1f} x its own step ({rates[name]:,.1f} samples/s)"
        subject = f"reading for {name}: {own}, {rate / rates[fastest]:,.2f} x the fastest one, {fastest}'s"
        details = {"step_samples_per_s": rates[name], "fastest_step_samples_per_s": rates[fastest]}
        yield result(Work(subject, samples, "samples", details), [timing])


@contextlib.contextmanager
def _datasets(arguments: argparse.Namespace) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Folder and names of the datasets to read."""
    if arguments.data is not None:
        yield arguments.data, tuple(arguments.datasets.split(","))
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "datasets", (prepare_voices(Path(folder), 2 if arguments.quick else 8),)


def options() -> argparse.ArgumentParser:
    made = parser(__doc__, batch=16)
    made.add_argument("--systems", help="joined by commas; default: all")
    made.add_argument("--data", type=Path, metavar="DIR", help="folder of prepared datasets; default: synthetic voices")
    made.add_argument("--datasets", default="ravdess", help="names in --data, joined by commas; default: ravdess")
    return made


if __name__ == "__main__":
    sys.exit(run(measure, options()))
