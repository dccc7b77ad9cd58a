"""Recordings and their log-mel spectrograms: reading, writing, framing.

NumPy and SciPy only, so that the command line, the data builder's workers and the tests can import it cheaply.
The features are those of SpeechSplit (arXiv 2004.11284, `make_spect_f0.py`).
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float

from evc_jax.audio_config import AudioConfig
from evc_jax.errors import AudioError

MIN_DURATION_S = 0.1
MAX_CHANNELS = 64
HIGHPASS_ORDER = 5
BLOCK_FRAMES = 128
RESAMPLING_QUALITY = "HQ"
# Beyond 4 GB a WAV file needs 64-bit sizes.
MAX_WAV_BYTES = 2**32 - 2**16


def load(path: str | os.PathLike, sample_rate_hz: int) -> Float[np.ndarray, " S"]:
    """Reads a recording of any format, rate and channel count that libsndfile knows.

    Returns:
      float32 mono samples at `sample_rate_hz`.

    Raises:
      AudioError: the file is missing, empty, no recording, too short, or holds NaN or infinite samples.
    """
    import soundfile

    path = check_file(path)
    try:
        samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError, TypeError) as error:
        raise unreadable(path) from error
    try:
        return as_mono(samples, rate_hz, sample_rate_hz)
    except AudioError as error:
        raise AudioError(f"{path}: {error}") from error


def check_file(path: str | os.PathLike) -> Path:
    """The path, if a file with something in it lies there.

    Raises:
      AudioError: the file is missing or empty, or a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise AudioError(f"{path} is a folder; give a recording.")
    if not path.is_file():
        raise AudioError(f"{path} does not exist; give the path of a recording.")
    if path.stat().st_size == 0:
        raise AudioError(f"{path} is an empty file; give a recording.")
    return path


def unreadable(path: Path) -> AudioError:
    """The error for a file that libsndfile cannot read."""
    return AudioError(f"{path} cannot be read as audio; give a WAV, FLAC, OGG or MP3 recording.")


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
    check_shape(audio)
    check_rate(rate_hz)
    check_duration(len(audio), rate_hz)
    mono = mix(audio)
    if rate_hz != sample_rate_hz:
        mono = soxr.resample(mono, rate_hz, sample_rate_hz, quality=RESAMPLING_QUALITY)
    return np.ascontiguousarray(mono, dtype=np.float32)


def check_shape(audio: np.ndarray) -> None:
    """Raises AudioError unless the audio is [samples] or [samples, channels]."""
    if audio.ndim not in (1, 2) or (audio.ndim == 2 and not 1 <= audio.shape[1] <= MAX_CHANNELS):
        raise AudioError(f"the audio has shape {audio.shape}; expected [samples] or [samples, channels].")


def check_rate(rate_hz: int) -> None:
    """Raises AudioError for a rate that is none."""
    if rate_hz <= 0:
        raise AudioError(f"the sample rate is {rate_hz}; expected a positive number of samples a second.")


def check_duration(samples: int, rate_hz: int) -> None:
    """Raises AudioError for fewer than `MIN_DURATION_S` seconds."""
    if samples < MIN_DURATION_S * rate_hz:
        raise AudioError(f"the recording lasts {samples / rate_hz:.3f} s; give one of at least {MIN_DURATION_S} s.")


def mix(audio: np.ndarray) -> Float[np.ndarray, " S"]:
    """Floating-point mono of samples of any type and channel count, at their own rate.

    Raises:
      AudioError: another type, NaN or infinite samples.
    """
    audio = _as_float(audio)
    if not np.isfinite(audio).all():
        raise AudioError("the recording holds NaN or infinite samples; export it again.")
    return audio if audio.ndim == 1 else audio.mean(axis=1)


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
    save_blocks(path, [audio], len(audio), float(np.abs(audio).max(initial=0.0)), rate_hz)


def save_blocks(
    path: str | os.PathLike, blocks: Iterable[Float[np.ndarray, " _"]], samples: int, peak: float, rate_hz: int
) -> None:
    """Does what `save` does for sound that comes in blocks and whose length and peak are known.

    A WAV file of more than 4 GB is written as RF64, which players know as WAV.

    Raises:
      AudioError: another suffix, or a place that cannot be written.
    """
    import soundfile

    path = check_output(path)
    beside = path.with_name(f".{uuid.uuid4().hex}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_blocks(beside, blocks, samples, peak, rate_hz, path.suffix.lower().removeprefix("."))
        os.replace(beside, path)
    except (soundfile.SoundFileError, OSError) as error:
        raise AudioError(f"{path} cannot be written ({error}); give a place that can.") from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def write_blocks(
    file: Path | io.BytesIO,
    blocks: Iterable[Float[np.ndarray, " _"]],
    samples: int,
    peak: float,
    rate_hz: int,
    container: str,
) -> None:
    """Writes sound to a place on disk or in memory; `container` is "wav" or "flac", the rest as in `save_blocks`."""
    import soundfile

    if container == "wav" and 2 * samples > MAX_WAV_BYTES:
        container = "rf64"
    with soundfile.SoundFile(file, "w", rate_hz, 1, subtype="PCM_16", format=container.upper()) as sound:
        for block in blocks:
            sound.write(block / peak if peak > 1 else block)


def check_output(path: str | os.PathLike) -> Path:
    """The path, if its suffix names a format that is written.

    Raises:
      AudioError: another suffix.
    """
    path = Path(path)
    if path.suffix.lower() not in (".wav", ".flac"):
        raise AudioError(f"{path} cannot be written; name it .wav or .flac.")
    return path


def frames_of(samples: int, config: AudioConfig) -> int:
    """Number of frames T of a recording: samples // hop + 1."""
    return samples // config.hop_samples + 1


def frame(audio: Float[np.ndarray, " S"], window: int, hop: int) -> Float[np.ndarray, "T window"]:
    """Cuts centred frames: T = S // hop + 1, reflected by half a window at both ends (a view, do not write)."""
    padded = np.pad(audio, window // 2, mode="reflect")
    return np.lib.stride_tricks.sliding_window_view(padded, window)[::hop][: len(audio) // hop + 1]


def blocks(frames: np.ndarray) -> Iterator[np.ndarray]:
    """Blocks of at most `BLOCK_FRAMES` frames, whose spectra fit into a processor's cache."""
    return (frames[start : start + BLOCK_FRAMES] for start in range(0, len(frames), BLOCK_FRAMES))


def highpass(audio: Float[np.ndarray, " S"], config: AudioConfig) -> Float[np.ndarray, " S"]:
    """Zero-phase Butterworth high-pass of order 5; float64."""
    from scipy import signal

    sections, padding = highpass_design(HIGHPASS_ORDER, config.highpass_hz, config.sample_rate_hz)
    return signal.sosfiltfilt(sections, audio.astype(np.float64), padlen=min(padding, len(audio) - 1))


@functools.lru_cache(maxsize=16)
def highpass_design(order: int, corner_hz: float, sample_rate_hz: int) -> tuple[np.ndarray, int]:
    """A Butterworth high-pass for `scipy.signal.sosfiltfilt`: second-order sections, and the samples to pad with."""
    from scipy import signal

    return signal.butter(order, corner_hz, "highpass", fs=sample_rate_hz, output="sos"), 3 * (order + 1)


def condition(audio: Float[np.ndarray, " S"], config: AudioConfig, seed: int = 0) -> Float[np.ndarray, " S"]:
    """What every analysis sees: high-passed, scaled by `gain`, dithered; float64."""
    return dithered(highpass(audio, config), config, seed)


def dithered(filtered: Float[np.ndarray, " S"], config: AudioConfig, seed: int = 0) -> Float[np.ndarray, " S"]:
    """`condition` of a recording that is high-passed already."""
    noise = np.random.default_rng(seed).uniform(-config.dither, config.dither, len(filtered))
    return filtered * config.gain + noise


def log_mel(audio: Float[np.ndarray, " S"], config: AudioConfig, seed: int = 0) -> Float[np.ndarray, "T F"]:
    """Log-mel spectrogram, about [0, 1] for speech but not clipped; float32, T = S // hop + 1.

    Args:
      audio: samples at `config.sample_rate_hz`.
      config: what the frames and bands are.
      seed: of the dither.
    """
    return mel_of_conditioned(condition(audio, config, seed), config)


def mel_of_conditioned(samples: Float[np.ndarray, " S"], config: AudioConfig) -> Float[np.ndarray, "T F"]:
    """`log_mel` of a recording that `condition` has been through already."""
    return mel_of_frames(frame(samples, config.window_samples, config.hop_samples), config)


def mel_of_frames(frames: Float[np.ndarray, "T window"], config: AudioConfig) -> Float[np.ndarray, "T F"]:
    """Log-mel spectrogram of the frames of a conditioned recording; see `log_mel`."""
    from scipy import fft  # in float32 more than twice as fast as NumPy's

    window, filters = _window(config.window_samples), mel_filters(config).T
    spectra = (fft.rfft((block * window).astype(np.float32), axis=1) for block in blocks(frames))
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

    range_hz = {"fmin": config.mel_min_hz, "fmax": config.mel_max_hz}
    filters = librosa.filters.mel(
        sr=config.sample_rate_hz, n_fft=config.window_samples, n_mels=config.mel_bands, **range_hz
    )
    filters.setflags(write=False)
    return filters


def powers(frames: Float[np.ndarray, "T window"]) -> Float[np.ndarray, " T"]:
    """Sum of squares of each frame."""
    return np.einsum("ts,ts->t", frames, frames)
