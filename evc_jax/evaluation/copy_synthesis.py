"""How well sound survives a vocoder: recordings in, the same recordings out, compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from evc_jax import audio
from evc_jax.audio import AudioConfig
from evc_jax.bundle import Bundle
from evc_jax.evaluation.metrics import mel_l1, pesq, pesq_is_installed
from evc_jax.vocoder import Vocoder, make_vocoder

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
        mel = np.clip(audio.log_mel(samples, config), 0, 1)
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
      vocoders: names from `wishes.VOCODERS`.
      seed: of the vocoders.
    """
    synthesisers = {name: make_vocoder(name, bundle) for name in vocoders}
    report = compare_vocoders(synthesisers, bundle.audio, recordings, seed)
    return {row.vocoder: row.mel_l1_db / bundle.audio.range_db for row in report.rows}
