"""The vocoders of a bundle, and those still in training, beside each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from evc_jax.audio import AudioConfig
from evc_jax.bundle import Bundle, TrainedNetwork, build_network
from evc_jax.config import from_mapping
from evc_jax.data.extraction import from_pcm
from evc_jax.data.source import audio_config
from evc_jax.errors import ConfigError
from evc_jax.evaluation.copy_synthesis import VocoderReport, compare_vocoders
from evc_jax.training.checkpoints import load_for_inference
from evc_jax.vocoder import Vocoder, WaveGlowVocoder, make_vocoder
from evc_jax.wishes import VOCODERS

MAX_SECONDS = 5.0


def evaluate_vocoders(
    bundle: Bundle, records: Iterable[Mapping[str, Any]], workdirs: Sequence[str] = (), recordings: int = 16
) -> VocoderReport:
    """Measures the copy-synthesis of recordings spread over a test split.

    Args:
      bundle: whose vocoders are measured.
      records: with `audio`, of which the first `MAX_SECONDS` count.
      workdirs: of WaveGlow trainings to measure as well.
      recordings: how many of them.

    Raises:
      EvcError: a work directory holds no WaveGlow for the bundle's mel-spectrograms.
    """
    vocoders = {name: make_vocoder(name, bundle) for name in VOCODERS if name != "waveglow" or bundle.has("waveglow")}
    vocoders |= dict(_trained(workdir, bundle.audio) for workdir in workdirs)
    found = list(records)
    chosen = [found[i] for i in np.linspace(0, len(found) - 1, recordings).astype(int)]
    limit = int(MAX_SECONDS * bundle.audio.sample_rate_hz)
    return compare_vocoders(vocoders, bundle.audio, [from_pcm(record["audio"][:limit]) for record in chosen])


def _trained(workdir: str, wanted: AudioConfig) -> tuple[str, Vocoder]:
    """The WaveGlow of a work directory, and what to call it."""
    run = load_for_inference(workdir)
    if "waveglow" not in run.networks:
        raise ConfigError(f"{workdir} holds a training of {run.system}; give one of waveglow.")
    if _audio(run.config) != wanted:
        raise ConfigError(f"{workdir} was trained on spectrograms with other settings than the bundle's; give another.")
    network, config = build_network("waveglow", run.networks["waveglow"], workdir)
    trained = TrainedNetwork(network, config, jax.device_put(run.params["waveglow"]))
    return f"{workdir} after {run.step:,} steps", WaveGlowVocoder(trained)


def _audio(config: Mapping[str, Any]) -> AudioConfig:
    """The settings of the spectrograms that a run saw: a converted checkpoint's own, or those of its datasets."""
    if "audio" in config:
        return from_mapping(AudioConfig, config["audio"], "audio")
    return audio_config(config["data"]["data_dir"], config["data"]["datasets"])
