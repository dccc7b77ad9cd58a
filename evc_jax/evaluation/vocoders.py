"""The vocoders of a bundle, and those still in training, beside each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
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
from evc_jax.evaluation.metrics import mel_l1, pesq, pesq_is_installed
from evc_jax.pretrained.bundle import Bundle, TrainedNetwork, build_network
from evc_jax.pretrained.workdir import load_for_inference
from evc_jax.vocoders import VOCODERS, Vocoder, make_vocoder
from evc_jax.vocoders.waveglow import WaveGlowVocoder

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


NO_PESQ = "PESQ was not measured, as the package pesq is not installed; `pip install pesq` builds it with a C compiler."


@dataclass(frozen=True)
class VocoderRow:
    """One vocoder, means over recordings.

    Attributes:
      vocoder: its name.
      mel_l1_db: mean absolute difference of the mel-spectrograms.
      pesq: wide-band PESQ, from 1 to about 4.6; NaN where the package is not installed.
    """

    vocoder: str
    mel_l1_db: float
    pesq: float


@dataclass(frozen=True)
class VocoderReport:
    """What `compare_vocoders` measured, over so many recordings."""

    rows: tuple[VocoderRow, ...]
    recordings: int

    def __str__(self) -> str:
        lines = ["| vocoder | mel L1, dB | PESQ |", "|---|---|---|"]
        for row in self.rows:
            mark = "" if np.isnan(row.pesq) else f"{row.pesq:.2f}"
            lines.append(f"| {row.vocoder} | {row.mel_l1_db:.2f} | {mark} |")
        lines += ["", f"Copy-synthesis of {self.recordings} recordings, means; PESQ wide band at 16 kHz, best 4.64."]
        return "\n".join(lines if pesq_is_installed() else [*lines, NO_PESQ])


def compare_vocoders(
    vocoders: Mapping[str, Vocoder], config: AudioConfig, recordings: Iterable[Float[np.ndarray, " S"]], seed: int = 0
) -> VocoderReport:
    """Has each vocoder make recordings again from their own mel-spectrograms.

    Args:
      vocoders: by name.
      config: the settings of their mel-spectrograms.
      recordings: samples at that rate and level.
      seed: of the vocoders.
    """
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in vocoders}
    for samples in recordings:
        mel = np.clip(log_mel(samples, config), 0, 1)
        for name, vocoder in vocoders.items():
            copy = vocoder(mel, len(samples), seed)
            mark = pesq(samples, copy, config.sample_rate_hz) if pesq_is_installed() else float("nan")
            measured[name].append((config.range_db * mel_l1(samples, copy, config), mark))
    rows = tuple(VocoderRow(name, *map(float, np.mean(values, axis=0))) for name, values in measured.items())
    return VocoderReport(rows, max(map(len, measured.values()), default=0))


def copy_synthesis(
    bundle: Bundle, recordings: Iterable[Float[np.ndarray, " S"]], vocoders: Sequence[str], seed: int = 0
) -> dict[str, float]:
    """Mean mel L1 between recordings and what each vocoder makes of their own mel-spectrograms.

    Args:
      bundle: whose audio settings and WaveGlow are used.
      recordings: samples at the bundle's rate and level.
      vocoders: names from `options.VOCODERS`.
      seed: of the vocoders.
    """
    synthesizers = {name: make_vocoder(name, bundle) for name in vocoders}
    report = compare_vocoders(synthesizers, bundle.audio, recordings, seed)
    return {row.vocoder: row.mel_l1_db / bundle.audio.range_db for row in report.rows}
