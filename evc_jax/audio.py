"""Recordings and their log-mel spectrograms: reading, writing, levels, framing.

NumPy and SciPy only, so that the command line, the data builder's workers and the tests can import it cheaply.
The features are those of SpeechSplit (arXiv 2004.11284, `make_spect_f0.py`).
"""

from __future__ import annotations

import contextlib
import functools
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from evc_jax.errors import AudioError, ConfigError

MIN_DURATION_S = 0.1
MAX_CHANNELS = 64
SILENCE_DBFS = -80.0
ACTIVE_RANGE_DB = 35.0
HIGHPASS_ORDER = 5
BLOCK_FRAMES = 2048


@dataclass(frozen=True)
class AudioConfig:
    """How recordings become spectrograms. A bundle records it; training and use must agree.

    Attributes:
      sample_rate_hz: rate of everything behind `load`.
      hop_samples: distance between frames.
      window_samples: length of the Hann window and of the Fourier transform.
      mel_bands: number of mel bands, F.
      mel_min_hz, mel_max_hz: range of the mel bands.
      highpass_hz: corner of the zero-phase Butterworth high-pass.
      gain: what the filtered waveform is multiplied with.
      dither: half width of the uniform noise that keeps logarithms finite.
      mel_floor: smallest mel magnitude.
      reference_db: level that is subtracted from the mel's decibels.
      range_db: decibels that are mapped to 1.
      level_dbfs: level that `features.extract` brings speech to; None leaves recordings as they are.
    """

    sample_rate_hz: int = 16000
    hop_samples: int = 256
    window_samples: int = 1024
    mel_bands: int = 80
    mel_min_hz: float = 90.0
    mel_max_hz: float = 7600.0
    highpass_hz: float = 30.0
    gain: float = 0.96
    dither: float = 5e-7
    mel_floor: float = 1e-5
    reference_db: float = 16.0
    range_db: float = 100.0
    level_dbfs: float | None = -26.0

    def __post_init__(self):
        for name in ("sample_rate_hz", "hop_samples", "window_samples", "mel_bands", "gain", "mel_floor", "range_db"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"audio.{name} is {getattr(self, name)}; set it to a positive number.")
        if self.hop_samples > self.window_samples:
            raise ConfigError(
                f"audio.hop_samples is {self.hop_samples}, more than window_samples {self.window_samples}; "
                "set it to at most the window."
            )
        nyquist_hz = self.sample_rate_hz / 2
        if not 0 <= self.mel_min_hz < self.mel_max_hz <= nyquist_hz:
            raise ConfigError(
                f"audio.mel_min_hz {self.mel_min_hz} and mel_max_hz {self.mel_max_hz} are no range; "
                f"set 0 <= mel_min_hz < mel_max_hz <= {nyquist_hz}."
            )
        if not 0 < self.highpass_hz < nyquist_hz:
            raise ConfigError(f"audio.highpass_hz is {self.highpass_hz}; set it between 0 and {nyquist_hz}.")
        if self.dither < 0:
            raise ConfigError(f"audio.dither is {self.dither}; set it to 0 or more.")


def load(path: str | os.PathLike, sample_rate_hz: int) -> Float[np.ndarray, " S"]:
    """Reads a recording of any format, rate and channel count that libsndfile knows.

    Returns:
      float32 mono samples at `sample_rate_hz`.

    Raises:
      AudioError: the file is missing, empty, no recording, too short, or holds NaN or infinite samples.
    """
    import soundfile

    path = Path(path)
    if path.is_dir():
        raise AudioError(f"{path} is a folder; give a recording.")
    if not path.is_file():
        raise AudioError(f"{path} does not exist; give the path of a recording.")
    if path.stat().st_size == 0:
        raise AudioError(f"{path} is an empty file; give a recording.")
    try:
        samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError, TypeError) as error:
        raise AudioError(f"{path} cannot be read as audio; give a WAV, FLAC, OGG or MP3 recording.") from error
    try:
        return as_mono(samples, rate_hz, sample_rate_hz)
    except AudioError as error:
        raise AudioError(f"{path}: {error}") from error


def as_mono(audio: np.ndarray, rate_hz: int, sample_rate_hz: int) -> Float[np.ndarray, " S"]:
    """Turns an array of samples into float32 mono at `sample_rate_hz`.

    Args:
      audio: [S] or [S, channels], floating point (full scale 1) or integer (full scale of its type).
      rate_hz: its sample rate.
      sample_rate_hz: the wanted sample rate.

    Raises:
      AudioError: another shape or type, NaN or infinite samples, fewer than `MIN_DURATION_S` seconds.
    """
    import soxr

    audio = np.asarray(audio)
    if audio.ndim not in (1, 2) or (audio.ndim == 2 and not 1 <= audio.shape[1] <= MAX_CHANNELS):
        raise AudioError(f"the audio has shape {audio.shape}; expected [samples] or [samples, channels].")
    if rate_hz <= 0:
        raise AudioError(f"the sample rate is {rate_hz}; expected a positive number of samples a second.")
    if len(audio) < MIN_DURATION_S * rate_hz:
        raise AudioError(f"the recording lasts {len(audio) / rate_hz:.3f} s; give one of at least {MIN_DURATION_S} s.")
    audio = _as_float(audio)
    if not np.isfinite(audio).all():
        raise AudioError("the recording holds NaN or infinite samples; export it again.")
    mono = audio if audio.ndim == 1 else audio.mean(axis=1)
    if rate_hz != sample_rate_hz:
        mono = soxr.resample(mono, rate_hz, sample_rate_hz, quality="HQ")
    return np.ascontiguousarray(mono, dtype=np.float32)


def _as_float(audio: np.ndarray) -> np.ndarray:
    if np.issubdtype(audio.dtype, np.floating):
        return audio
    if not np.issubdtype(audio.dtype, np.integer):
        raise AudioError(f"the samples are of type {audio.dtype}; expected floating point or integers.")
    info = np.iinfo(audio.dtype)
    middle = (int(info.max) + int(info.min) + 1) // 2
    return (audio.astype(np.float64) - middle) / (int(info.max) - middle + 1)


def save(path: str | os.PathLike, audio: Float[np.ndarray, " S"], rate_hz: int) -> None:
    """Writes a 16-bit WAV or FLAC file, whole or not at all.

    Peaks above 1 are scaled down, never wrapped or cut.

    Raises:
      AudioError: another suffix, or a place that cannot be written.
    """
    import soundfile

    path = Path(path)
    if path.suffix.lower() not in (".wav", ".flac"):
        raise AudioError(f"{path} cannot be written; name it .wav or .flac.")
    peak = float(np.abs(audio).max(initial=0.0))
    scaled = audio / peak if peak > 1 else audio
    beside = path.with_name(f".{uuid.uuid4().hex}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(beside, scaled, rate_hz, subtype="PCM_16")
        os.replace(beside, path)
    except (soundfile.SoundFileError, OSError) as error:
        raise AudioError(f"{path} cannot be written ({error}); give a place that can.") from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def frames_of(samples: int, config: AudioConfig) -> int:
    """Number of frames T of a recording: samples // hop + 1."""
    return samples // config.hop_samples + 1


def frame(audio: Float[np.ndarray, " S"], window: int, hop: int) -> Float[np.ndarray, "T window"]:
    """Cuts centred frames: T = S // hop + 1, reflected by half a window at both ends (a view, do not write)."""
    padded = np.pad(audio, window // 2, mode="reflect")
    return np.lib.stride_tricks.sliding_window_view(padded, window)[::hop][: len(audio) // hop + 1]


def blocks(frames: np.ndarray) -> Iterator[np.ndarray]:
    """Blocks of at most `BLOCK_FRAMES` frames, so that an hour's spectra need not be in memory at once."""
    return (frames[start : start + BLOCK_FRAMES] for start in range(0, len(frames), BLOCK_FRAMES))


def highpass(audio: Float[np.ndarray, " S"], config: AudioConfig) -> Float[np.ndarray, " S"]:
    """Zero-phase Butterworth high-pass of order 5; float64."""
    from scipy import signal

    sections = _highpass_sections(config.highpass_hz, config.sample_rate_hz)
    padding = min(3 * (HIGHPASS_ORDER + 1), len(audio) - 1)
    return signal.sosfiltfilt(sections, audio.astype(np.float64), padlen=padding)


@functools.cache
def _highpass_sections(corner_hz: float, sample_rate_hz: int) -> np.ndarray:
    from scipy import signal

    return signal.butter(HIGHPASS_ORDER, corner_hz, "highpass", fs=sample_rate_hz, output="sos")


def condition(audio: Float[np.ndarray, " S"], config: AudioConfig, seed: int = 0) -> Float[np.ndarray, " S"]:
    """What every analysis sees: high-passed, scaled by `gain`, dithered; float64."""
    noise = np.random.default_rng(seed).uniform(-config.dither, config.dither, len(audio))
    return highpass(audio, config) * config.gain + noise


def log_mel(audio: Float[np.ndarray, " S"], config: AudioConfig, seed: int = 0) -> Float[np.ndarray, "T F"]:
    """Log-mel spectrogram, about [0, 1] for speech but not clipped; float32, T = S // hop + 1.

    Args:
      audio: samples at `config.sample_rate_hz`.
      config: what the frames and bands are.
      seed: of the dither.
    """
    frames = frame(condition(audio, config, seed), config.window_samples, config.hop_samples)
    window, filters = _window(config.window_samples), mel_filters(config).T
    spectra = (np.fft.rfft((block * window).astype(np.float32), axis=1) for block in blocks(frames))
    mel = np.concatenate([np.abs(spectrum) @ filters for spectrum in spectra])
    decibels = 20 * np.log10(np.maximum(config.mel_floor, mel)) - config.reference_db
    return ((decibels + config.range_db) / config.range_db).astype(np.float32)


def mel_to_magnitude(mel: Float[np.ndarray, "T F"], config: AudioConfig) -> Float[np.ndarray, "T F"]:
    """Inverse of `log_mel`'s decibel mapping: magnitudes of the mel bands."""
    decibels = mel * config.range_db - config.range_db + config.reference_db
    return np.power(10.0, decibels / 20).astype(np.float32)


@functools.cache
def _window(samples: int) -> np.ndarray:
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(samples) / samples)


@functools.cache
def mel_filters(config: AudioConfig) -> Float[np.ndarray, "F bins"]:
    """Slaney's triangular filters of unit area over `window_samples // 2 + 1` frequency bins; float32."""
    import librosa

    filters = librosa.filters.mel(
        sr=config.sample_rate_hz,
        n_fft=config.window_samples,
        n_mels=config.mel_bands,
        fmin=config.mel_min_hz,
        fmax=config.mel_max_hz,
    )
    filters.setflags(write=False)
    return filters


def active_level_dbfs(audio: Float[np.ndarray, " S"], config: AudioConfig) -> float:
    """Level of the speech: root mean square over the frames within 35 dB of the loudest one.

    Pauses do not count, nor does what lies below the high-pass (an offset, rumble).

    Raises:
      AudioError: no frame is louder than `SILENCE_DBFS`.
    """
    frames = frame(highpass(audio, config), config.window_samples, config.hop_samples)
    powers = np.einsum("ts,ts->t", frames, frames) / config.window_samples
    loudest = powers.max()
    if loudest < 10 ** (SILENCE_DBFS / 10):
        raise AudioError(f"the recording is silent (nothing above {SILENCE_DBFS:.0f} dBFS); give one with speech.")
    active = powers[powers > loudest * 10 ** (-ACTIVE_RANGE_DB / 10)]
    return float(10 * np.log10(active.mean()))
