"""Conversion of a short recording with the bundle loaded and everything compiled.

    python -m benchmarks.conversion

The rate is seconds of sound a second: above 1 is faster than real time. First whole conversions, from samples in
memory to samples, by what a user can choose; then the same from features that are at hand, as when one recording is
converted several times; then the parts.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.harness import MIN_ROUNDS, Contender, Work, compare, parser, result, run
from benchmarks.recordings import speech, with_recording
from evc_jax.audio.chunking import split_windows
from evc_jax.audio.mel import log_mel
from evc_jax.conversion.converter import Converter
from evc_jax.conversion.options import ConversionOptions
from evc_jax.conversion.windows import window_inputs
from evc_jax.features import pitch, speaker
from evc_jax.features.extract import Features
from evc_jax.features.f0_codes import log_f0_statistics
from evc_jax.jax_cache import enable_cache
from evc_jax.pretrained.bundle import load_bundle


def choices(converter: Converter) -> dict[str, ConversionOptions]:
    """What a user may ask for, as far as the bundle has it."""
    found = {"rebuilt, griffin-lim": ConversionOptions(vocoder="griffin-lim")}
    if converter.emotions:
        found["emotion, griffin-lim"] = ConversionOptions(emotion=converter.emotions[0], vocoder="griffin-lim")
    if converter.bundle.has("waveglow"):
        options = {"emotion": converter.emotions[0]} if converter.emotions else {}
        found["emotion, waveglow" if options else "rebuilt, waveglow"] = ConversionOptions(
            vocoder="waveglow", **options
        )
    return found


def parts(converter: Converter, samples: np.ndarray, features: Features) -> dict[str, Callable[[], Any]]:
    """The pieces of a conversion, each from what is at hand before it."""
    config, conversions = converter.bundle.audio, choices(converter)
    options = list(conversions.values())[-1]
    statistics = log_f0_statistics(features.f0_hz)
    windows = split_windows(features.mel), split_windows(features.f0_hz)
    weights = converter.emotion_weights(options, np.zeros(len(features.mel)))
    found: dict[str, Callable[[], Any]] = {
        "features": lambda: converter.extract(samples, config.sample_rate_hz),
        "  of that mel": lambda: log_mel(features.audio, config),
        "  of that F0": lambda: pitch.estimate_f0(features.audio, config),
        "  of that embedding": lambda: speaker.embed(samples),
        "networks": lambda: converter.engine.convert(
            window_inputs(
                converter.engine, converter.bundle.audio, *windows, features.embedding, statistics, options, weights
            )
        ),
    }
    for name in dict.fromkeys(each.vocoder for each in conversions.values()):
        vocoder = converter.requested_vocoder(ConversionOptions(vocoder=name))
        found[name] = lambda vocoder=vocoder: vocoder(features.mel, len(features.audio), 0)
    return found


def measure(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    enable_cache()
    converter = Converter(load_bundle(arguments.bundle))
    rate_hz = converter.sample_rate_hz
    samples = speech(0.5 if arguments.quick else arguments.clip_s, rate_hz)
    features = converter.extract(samples, rate_hz)
    conversions = choices(converter)
    whole = {
        name: lambda options=options: converter.convert_features(converter.extract(samples, rate_hz), options)
        for name, options in conversions.items()
    }
    onward = {
        name: lambda options=options: converter.convert_features(features, options)
        for name, options in conversions.items()
    }
    clip = f"{len(samples) / rate_hz:g} s"
    subjects = {
        f"conversion of {clip}": whole,
        f"conversion of {clip}, features at hand": onward,
        f"parts of a conversion of {clip}": parts(converter, samples, features),
    }
    results = []
    for subject, calls in subjects.items():
        contenders = [Contender(name, lambda call=call: call) for name, call in calls.items()]
        timings = compare(contenders, arguments.seconds / len(subjects), 1 if arguments.quick else MIN_ROUNDS)
        results.append(result(Work(subject, len(samples) / rate_hz, "s of sound"), timings))
    return results


def options() -> argparse.ArgumentParser:
    return with_recording(parser(__doc__))


if __name__ == "__main__":
    sys.exit(run(measure, options()))
