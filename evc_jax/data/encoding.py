"""How a dataset stores mel-spectrograms and audio: `encode_*` on writing, `decode_*` on reading, whatever is stored.

Megabytes per hour of real speech at 16 kHz, with all fields and ArrayRecord's own compression (zstd):

                                         RAVDESS   EmoDB   LibriSpeech   LJSpeech
    float32 mel, PCM                       109      163       154          155
    float16 mel, FLAC                       67       94        87           85
    of these: FLAC                          44       62        62           57
              float16 mel, byte planes      21       25        24           25

float16 as it is takes 6 to 7 % more of the whole. Differences along time or bands before the planes, and ArrayRecord's
slower compressors, gain 1 % at most.
"""

from __future__ import annotations

import dataclasses
import io

import numpy as np

from evc_jax.errors import DataError

MEL_STORAGES, AUDIO_STORAGES = ("float16", "float32"), ("flac", "pcm")
# Of libsndfile, from 0 to 1: the slowest to write, equally fast to read.
_FLAC_COMPRESSION = 1.0


@dataclasses.dataclass(frozen=True)
class Storage:
    """The form of a dataset's large fields.

    Attributes:
      mel: "float16", whose rounding moves a value of [0, 1] by at most 2^-12, which is 0.024 dB of the 100 dB that
        this range covers; or "float32", which is exact.
      audio: "flac" or "pcm", both exact.

    Raises:
      DataError: another value.
    """

    mel: str = "float16"
    audio: str = "flac"

    def __post_init__(self):
        for name, known in (("mel", MEL_STORAGES), ("audio", AUDIO_STORAGES)):
            if (value := getattr(self, name)) not in known:
                raise DataError(f"The {name} storage is {value!r}; choose {' or '.join(known)}.")


def encode_mel(mel: np.ndarray, storage: Storage) -> np.ndarray:
    """[T, F] float32 as it is, or float16 as uint8 [2, T, F]: all low bytes, then all high ones, which compress."""
    if storage.mel == "float32":
        return mel
    return np.moveaxis(mel.astype("<f2")[..., None].view(np.uint8), -1, 0)


def decode_mel(stored: np.ndarray) -> np.ndarray:
    """[T, F] float32 of what `encode_mel` gave."""
    if stored.dtype == np.float32:
        return stored
    return np.stack(tuple(stored), axis=-1).view("<f2")[..., 0].astype(np.float32)


def encode_audio(audio: np.ndarray, sample_rate_hz: int, storage: Storage) -> np.ndarray:
    """[S] int16 as it is, or as the bytes of a FLAC file, uint8."""
    if storage.audio == "pcm":
        return audio
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, audio, sample_rate_hz, "PCM_16", format="FLAC", compression_level=_FLAC_COMPRESSION)
    return np.frombuffer(file.getvalue(), np.uint8)


def decode_audio(stored: np.ndarray) -> np.ndarray:
    """[S] int16 of what `encode_audio` gave."""
    if stored.dtype == np.int16:
        return stored
    # Here, as most trainings read no audio and do without it.
    import soundfile

    return soundfile.read(io.BytesIO(stored.tobytes()), dtype="int16")[0]
