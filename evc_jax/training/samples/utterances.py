"""The utterances that are shown: a few of the validation split, the same at every validation and in every run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from evc_jax.audio.chunking import window_starts
from evc_jax.audio.config import AudioConfig
from evc_jax.audio.io import from_pcm
from evc_jax.data.dataset import audio_config, dataset_info, open_split
from evc_jax.data.pipeline import pad
from evc_jax.data.sampling import spread_evenly
from evc_jax.features import pitch
from evc_jax.features.f0_codes import LogF0Statistics, normalize_f0
from evc_jax.training.config import DataConfig
from evc_jax.vocoders import griffin_lim

UTTERANCES = 2
_FIELDS = ("utterance_id", "sex", "emotion", "mel", "f0_hz", "audio", "speaker_embedding", "log_f0_mean", "log_f0_std")


@dataclass(frozen=True, eq=False)
class Utterance:
    """The most voiced stretch of a validation utterance, of at most a given number of frames T.

    Attributes:
      tag: "utterance-1", the first part of its summaries' names.
      title: which one it is and how it was spoken.
      mel, f0_hz: features of the recording.
      audio: the recording, (T - 1) * hop samples.
      embedding: of its speaker.
      statistics: of its speaker's log-F0.
    """

    tag: str
    title: str
    mel: Float[np.ndarray, "T F"]
    f0_hz: Float[np.ndarray, " T"]
    audio: Float[np.ndarray, " S"]
    embedding: Float[np.ndarray, " E"]
    statistics: LogF0Statistics


@dataclass(frozen=True, eq=False)
class Resynthesis:
    """A mel-spectrogram, its sound through Griffin-Lim, and the F0 of that sound."""

    mel: Float[np.ndarray, "T F"]
    audio: Float[np.ndarray, " S"]
    f0_hz: Float[np.ndarray, " T"]


def choose(data: DataConfig, frames: int) -> tuple[Utterance, ...]:
    """Up to `UTTERANCES` utterances, as far from each other in the split as there are.

    Args:
      data: where to look; datasets without a validation split are passed over.
      frames: the longest stretch to take.
    """
    datasets = [name for name in data.datasets if "validation" in dataset_info(data.data_dir, name)["counts"]]
    if not datasets:
        return ()
    records = open_split(data.data_dir, datasets, "validation", _FIELDS, cache_bytes=0)
    config = audio_config(data.data_dir, datasets)
    chosen = spread_evenly(range(len(records)), UTTERANCES)
    return tuple(_cut(f"utterance-{n}", records[i], frames, config) for n, i in enumerate(chosen, start=1))


def batch(
    utterances: Sequence[Utterance], frames: int
) -> tuple[Float[np.ndarray, "B T F"], Float[np.ndarray, "B T"], Float[np.ndarray, "B E"]]:
    """Mel, F0 relative to the speaker's, and embedding of utterances, zero from each one's end to `frames`."""
    f0 = [normalize_f0(utterance.f0_hz, utterance.statistics) for utterance in utterances]
    mel = np.stack([pad(utterance.mel, frames) for utterance in utterances])
    embedding = np.stack([utterance.embedding for utterance in utterances])
    return mel, np.stack([pad(track, frames) for track in f0]), embedding


def resynthesize(mels: Sequence[Float[np.ndarray, "_ F"]], config: AudioConfig) -> list[Resynthesis]:
    """Sounds of mel-spectrograms; what is not a number is silent.

    They go through Griffin-Lim together, with pauses that keep them apart, which is faster than one by one.
    """
    hop, pause = config.hop_samples, -(-config.window_samples // config.hop_samples)
    mels = [np.clip(np.nan_to_num(mel), 0, 1) for mel in mels]
    together = np.concatenate([np.pad(mel, ((0, pause), (0, 0))) for mel in mels])
    audio = griffin_lim.griffin_lim(together, config, length=len(together) * hop)
    resyntheses, start = [], 0
    for mel in mels:
        sound = audio[start * hop : (start + len(mel) - 1) * hop]
        resyntheses.append(Resynthesis(mel, sound, pitch.estimate_f0(sound, config)))
        start += len(mel) + pause
    return resyntheses


def _cut(tag: str, record: Mapping[str, Any], frames: int, config: AudioConfig) -> Utterance:
    starts = window_starts(len(record["mel"]), frames, frames // 3)
    start = int(max(starts, key=lambda first: np.count_nonzero(record["f0_hz"][first : first + frames])))
    mel = record["mel"][start : start + frames]
    first, last = start * config.hop_samples, (start + len(mel) - 1) * config.hop_samples
    known = [record[key] for key in ("sex", "emotion") if record[key] != "unknown"]
    return Utterance(
        tag=tag,
        title=", ".join([record["utterance_id"], *known]),
        mel=mel,
        f0_hz=record["f0_hz"][start : start + frames],
        audio=from_pcm(record["audio"][first:last]),
        embedding=record["speaker_embedding"],
        statistics=LogF0Statistics(float(record["log_f0_mean"]), float(record["log_f0_std"])),
    )
