"""The vocoders of bundles and of trainings, and how near a bundle's copies come to recordings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.mel import log_mel
from evc_jax.config import from_mapping
from evc_jax.data.dataset import audio_config
from evc_jax.errors import ConfigError
from evc_jax.evaluation.metrics import mel_l1
from evc_jax.pretrained.bundle import Bundle, TrainedNetwork
from evc_jax.pretrained.description import build_network
from evc_jax.pretrained.workdir import load_for_inference
from evc_jax.vocoders import Vocoder, make_vocoder, vocoders_of
from evc_jax.vocoders.waveglow import WaveGlowVocoder


def bundle_vocoders(bundle: Bundle) -> dict[str, Vocoder]:
    """The vocoders that run with this bundle, by name."""
    return {name: make_vocoder(name, bundle) for name in vocoders_of(bundle)}


def copy_synthesis(bundle: Bundle, recordings: Iterable[Float[np.ndarray, " S"]], seed: int = 0) -> dict[str, float]:
    """Per vocoder of a bundle the mean of `metrics.mel_l1` of copies made from recordings' own mel-spectrograms.

    Args:
      bundle: whose vocoders are measured.
      recordings: samples at its rate and level.
      seed: of the vocoders.
    """
    errors: dict[str, list[float]] = {name: [] for name in bundle_vocoders(bundle)}
    for samples in recordings:
        mel = np.clip(log_mel(samples, bundle.audio), 0, 1)
        for name, vocoder in bundle_vocoders(bundle).items():
            errors[name].append(mel_l1(samples, vocoder(mel, len(samples), seed), bundle.audio))
    return {name: float(np.mean(values)) for name, values in errors.items()}


def load_training(workdir: str, expected: AudioConfig) -> tuple[str, Vocoder]:
    """A name for the WaveGlow of a work directory, and its vocoder.

    Raises:
      EvcError: the work directory holds no WaveGlow for these mel-spectrograms.
    """
    run = load_for_inference(workdir)
    if "waveglow" not in run.networks:
        raise ConfigError(f"{workdir} holds a training of {run.system}; give one of waveglow.")
    if _audio_of_training(run.config) != expected:
        raise ConfigError(f"{workdir} was trained on spectrograms with other settings than the bundle's; give another.")
    network = build_network("waveglow", run.networks["waveglow"], workdir)
    trained = TrainedNetwork(network, jax.device_put(run.params["waveglow"]))
    return f"{workdir} after {run.step:,} steps", WaveGlowVocoder(trained, expected)


def _audio_of_training(config: Mapping[str, Any]) -> AudioConfig:
    """The settings of a run's spectrograms: a converted checkpoint's own, or those of its datasets."""
    if "audio" in config:
        return from_mapping(AudioConfig, config["audio"], "audio")
    return audio_config(config["data"]["data_dir"], config["data"]["datasets"])
