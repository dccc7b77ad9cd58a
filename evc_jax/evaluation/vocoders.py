"""Copy-synthesis by the vocoders of a bundle and by those still in training: mel L1 and PESQ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.io import from_pcm
from evc_jax.audio.mel import log_mel
from evc_jax.config import from_mapping
from evc_jax.data.dataset import audio_config
from evc_jax.errors import ConfigError
from evc_jax.evaluation.metrics import Record, choose_records, mel_l1, pesq, pesq_is_installed
from evc_jax.evaluation.tables import Report
from evc_jax.pretrained.bundle import Bundle, TrainedNetwork, build_network
from evc_jax.pretrained.workdir import load_for_inference
from evc_jax.vocoders import VOCODERS, Vocoder, make_vocoder
from evc_jax.vocoders.waveglow import WaveGlowVocoder

MAX_SECONDS = 5.0
NO_PESQ = "PESQ was not measured, as the package pesq is not installed; `pip install pesq` builds it with a C compiler."


def evaluate_vocoders(
    bundle: Bundle, records: Sequence[Record], workdirs: Sequence[str] = (), recordings: int = 16
) -> Report:
    """Measures the copy-synthesis of recordings spread over a test split.

    Args:
      bundle: whose vocoders are measured.
      records: with `audio`, of which the first `MAX_SECONDS` count.
      workdirs: of WaveGlow trainings to measure as well.
      recordings: at most so many of them.

    Raises:
      EvcError: a work directory holds no WaveGlow for the bundle's mel-spectrograms, or there are no records.
    """
    limit = int(MAX_SECONDS * bundle.audio.sample_rate_hz)
    vocoders = bundle_vocoders(bundle) | dict(_load_training(workdir, bundle.audio) for workdir in workdirs)
    chosen = choose_records(records, recordings)
    return compare_vocoders(vocoders, bundle.audio, [from_pcm(record["audio"][:limit]) for record in chosen])


def bundle_vocoders(bundle: Bundle) -> dict[str, Vocoder]:
    """The vocoders that run with this bundle, by name."""
    return {name: make_vocoder(name, bundle) for name in VOCODERS if name != "waveglow" or bundle.has("waveglow")}


def compare_vocoders(
    vocoders: Mapping[str, Vocoder], config: AudioConfig, recordings: Iterable[Float[np.ndarray, " S"]], seed: int = 0
) -> Report:
    """Measures each vocoder's copies of recordings, made from their own mel-spectrograms.

    Args:
      vocoders: by name.
      config: the settings of their mel-spectrograms.
      recordings: samples at that rate and level.
      seed: of the vocoders.

    Returns:
      per vocoder, as means over recordings: mean absolute difference of the mel-spectrograms in dB, and wide-band PESQ,
      NaN where its package is not installed.
    """
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in vocoders}
    for samples in recordings:
        mel = np.clip(log_mel(samples, config), 0, 1)
        for name, vocoder in vocoders.items():
            copy = vocoder(mel, len(samples), seed)
            quality = pesq(samples, copy, config.sample_rate_hz) if pesq_is_installed() else float("nan")
            measured[name].append((config.range_db * mel_l1(samples, copy, config), quality))
    rows = [(name, *map(float, np.mean(values, axis=0))) for name, values in measured.items()]
    count = max(map(len, measured.values()), default=0)
    note = f"Copy-synthesis of {count} recordings, means; PESQ wide band at 16 kHz, best 4.64."
    note += "" if pesq_is_installed() else f"\n{NO_PESQ}"
    return Report(("vocoder", "mel L1, dB", "PESQ"), ("", ".2f", ".2f"), rows, note)


def copy_synthesis(bundle: Bundle, recordings: Iterable[Float[np.ndarray, " S"]], seed: int = 0) -> dict[str, float]:
    """Mean mel L1 of the copies by each of a bundle's vocoders; see `compare_vocoders` and `metrics.mel_l1`."""
    report = compare_vocoders(bundle_vocoders(bundle), bundle.audio, recordings, seed)
    return {name: mel_l1_db / bundle.audio.range_db for name, mel_l1_db, _ in report.rows}


def _load_training(workdir: str, expected: AudioConfig) -> tuple[str, Vocoder]:
    """A name for the WaveGlow of a work directory, and its vocoder."""
    run = load_for_inference(workdir)
    if "waveglow" not in run.networks:
        raise ConfigError(f"{workdir} holds a training of {run.system}; give one of waveglow.")
    if _audio_of_training(run.config) != expected:
        raise ConfigError(f"{workdir} was trained on spectrograms with other settings than the bundle's; give another.")
    network = build_network("waveglow", run.networks["waveglow"], workdir)
    trained = TrainedNetwork(network, jax.device_put(run.params["waveglow"]))
    return f"{workdir} after {run.step:,} steps", WaveGlowVocoder(trained)


def _audio_of_training(config: Mapping[str, Any]) -> AudioConfig:
    """The settings of a run's spectrograms: a converted checkpoint's own, or those of its datasets."""
    if "audio" in config:
        return from_mapping(AudioConfig, config["audio"], "audio")
    return audio_config(config["data"]["data_dir"], config["data"]["datasets"])
