"""Log-mel spectrograms of recordings: filtering, framing, mel bands.

NumPy and SciPy only, so that the command line, the data builder's workers and the tests can import it cheaply.
The features are those of SpeechSplit (arXiv 2004.11284, `make_spect_f0.py`).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
from jaxtyping import Complex, Float

from evc_jax.audio.config import AudioConfig

HIGHPASS_ORDER = 5
BLOCK_FRAMES = 128
DITHER_SEED = 0
_KNEE_HZ, _LINEAR_HZ, _LOG_STEP = 1000.0, 200.0 / 3, np.log(6.4) / 27
_KNEE_MEL = _KNEE_HZ / _LINEAR_HZ


def frame_count(samples: int, config: AudioConfig) -> int:
    """Number of frames T of a recording: samples // hop + 1."""
    return samples // config.hop_samples + 1


def frame_signal(audio: Float[np.ndarray, " S"], window: int, hop: int) -> Float[np.ndarray, "T window"]:
    """Cuts centred frames: T = S // hop + 1, reflected by half a window at both ends (a view, do not write)."""
    padded = np.pad(audio, window // 2, mode="reflect")
    return np.lib.stride_tricks.sliding_window_view(padded, window)[::hop][: len(audio) // hop + 1]


def frame_blocks(frames: np.ndarray) -> Iterator[np.ndarray]:
    """Blocks of at most `BLOCK_FRAMES` frames, whose spectra fit into a processor's cache."""
    return (frames[start : start + BLOCK_FRAMES] for start in range(0, len(frames), BLOCK_FRAMES))


def highpass(audio: Float[np.ndarray, " S"], config: AudioConfig) -> Float[np.ndarray, " S"]:
    """Zero-phase Butterworth high-pass of the settings; float64."""
    from scipy import signal

    sections = _highpass_sections(config.highpass_hz, config.sample_rate_hz)
    padding = min(3 * (HIGHPASS_ORDER + 1), len(audio) - 1)
    return signal.sosfiltfilt(sections, audio.astype(np.float64), padlen=padding)


@functools.cache
def _highpass_sections(corner_hz: float, rate_hz: int) -> np.ndarray:
    from scipy import signal

    return signal.butter(HIGHPASS_ORDER, corner_hz, "highpass", fs=rate_hz, output="sos")


def condition(audio: Float[np.ndarray, " S"], config: AudioConfig) -> Float[np.ndarray, " S"]:
    """The input of every analysis: high-passed, scaled by `gain`, dithered; float64."""
    return add_dither(highpass(audio, config), config)


def add_dither(filtered: Float[np.ndarray, " S"], config: AudioConfig) -> Float[np.ndarray, " S"]:
    """`condition` of a recording that is high-passed already."""
    noise = np.random.default_rng(DITHER_SEED).uniform(-config.dither, config.dither, len(filtered))
    return filtered * config.gain + noise


def log_mel(audio: Float[np.ndarray, " S"], config: AudioConfig) -> Float[np.ndarray, "T F"]:
    """Log-mel spectrogram of samples at the config's rate, about [0, 1] but not clipped; float32, T = S // hop + 1."""
    return mel_of_conditioned(condition(audio, config), config)


def mel_of_conditioned(samples: Float[np.ndarray, " S"], config: AudioConfig) -> Float[np.ndarray, "T F"]:
    """`log_mel` of a recording that `condition` has been through already."""
    from scipy import fft  # in float32 more than twice as fast as NumPy's

    frames = frame_signal(samples.astype(np.float32), config.window_samples, config.hop_samples)
    window, filters = hann_window(config.window_samples), mel_filters(config).T
    spectra = (fft.rfft(block * window, axis=1) for block in frame_blocks(frames))
    mel = np.concatenate([np.abs(spectrum) @ filters for spectrum in spectra])
    decibels = 20 * np.log10(np.maximum(config.mel_floor, mel)) - config.reference_db
    return ((decibels + config.range_db) / config.range_db).astype(np.float32)


def mel_to_magnitude(mel: Float[np.ndarray, "T F"], config: AudioConfig) -> Float[np.ndarray, "T F"]:
    """Inverse of `log_mel`'s decibel mapping: magnitudes of the mel bands."""
    decibels = mel * config.range_db - config.range_db + config.reference_db
    return np.power(10.0, decibels / 20).astype(np.float32)


@functools.cache
def hann_window(samples: int) -> Float[np.ndarray, " samples"]:
    """The periodic Hann window; float32."""
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(samples) / samples)).astype(np.float32)
    window.setflags(write=False)
    return window


@functools.cache
def mel_filters(config: AudioConfig) -> Float[np.ndarray, "F bins"]:
    """`slaney_filters` of the settings."""
    range_hz = (config.mel_min_hz, config.mel_max_hz)
    filters = slaney_filters(config.sample_rate_hz, config.window_samples, config.mel_bands, *range_hz)
    filters.setflags(write=False)
    return filters


@functools.cache
def band_cosines(count: int, bands: int) -> Float[np.ndarray, "K F"]:
    """The lowest cosines over mel bands, of which cepstra are the coefficients; float64."""
    cosines = np.cos(np.pi * np.outer(np.arange(count), np.arange(bands) + 0.5) / bands)
    cosines.setflags(write=False)
    return cosines


def slaney_filters(
    rate_hz: int, window_samples: int, bands: int, min_hz: float, max_hz: float
) -> Float[np.ndarray, "F bins"]:
    """Slaney's triangular filters of unit area over `window_samples // 2 + 1` frequency bins; float32.

    Bit by bit those of `librosa.filters.mel`. librosa compiles functions when it is imported, and fails where the
    compiler's cache cannot be written, as in a container without a home.
    """
    edges_hz = _slaney_edges_hz(bands, min_hz, max_hz)
    ramps_hz = np.subtract.outer(edges_hz, np.fft.rfftfreq(window_samples, 1 / rate_hz))
    widths_hz = np.diff(edges_hz)[:, None]
    rising, falling = -ramps_hz[:-2] / widths_hz[:-1], ramps_hz[2:] / widths_hz[1:]
    filters = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
    filters *= (2 / (edges_hz[2:] - edges_hz[:-2]))[:, None]
    return filters


def slaney_centres_hz(bands: int, min_hz: float, max_hz: float) -> Float[np.ndarray, " bands"]:
    """Frequencies at which `slaney_filters` are largest."""
    return _slaney_edges_hz(bands, min_hz, max_hz)[1:-1]


def _slaney_edges_hz(bands: int, min_hz: float, max_hz: float) -> np.ndarray:
    low_mel, high_mel = _hz_to_mel(np.array([min_hz, max_hz]))
    return _mel_to_hz(np.linspace(low_mel, high_mel, bands + 2))


def _hz_to_mel(hz: np.ndarray) -> np.ndarray:
    """Slaney's scale: linear up to 1 kHz, logarithmic above."""
    return np.where(hz < _KNEE_HZ, hz / _LINEAR_HZ, _KNEE_MEL + np.log(np.maximum(hz, _KNEE_HZ) / _KNEE_HZ) / _LOG_STEP)


def _mel_to_hz(mel: np.ndarray) -> np.ndarray:
    return np.where(mel < _KNEE_MEL, mel * _LINEAR_HZ, _KNEE_HZ * np.exp(_LOG_STEP * (mel - _KNEE_MEL)))


def frame_powers(frames: Float[np.ndarray, "T window"]) -> Float[np.ndarray, " T"]:
    """Sum of squares of each frame."""
    return np.einsum("ts,ts->t", frames, frames)


def stft(
    signal: Float[np.ndarray, " S"], window: Float[np.ndarray, " window"], hop: int
) -> Complex[np.ndarray, "T bins"]:
    """Spectra of the whole frames of a signal, without padding: T = (S - window) // hop + 1."""
    frames = np.lib.stride_tricks.sliding_window_view(signal, len(window))[::hop]
    return np.fft.rfft(frames * window, axis=1)


def istft(
    spectrum: Complex[np.ndarray, "T bins"], window: Float[np.ndarray, " window"], hop: int
) -> Float[np.ndarray, " S"]:
    """Windowed frames of the spectra, overlapped and added but not normalised: S = (T - 1) * hop + window."""
    frames = np.fft.irfft(spectrum, len(window), axis=1)
    frames *= window
    return overlap_add(frames, hop)


def overlap_add(frames: Float[np.ndarray, "T window"], hop: int) -> Float[np.ndarray, " S"]:
    """Sums frames that start every `hop` samples, piece by piece: the loop runs window / hop times."""
    count, size = frames.shape
    pieces = -(-size // hop)
    if pieces * hop > size:
        frames = np.pad(frames, ((0, 0), (0, pieces * hop - size)))
    padded = frames.reshape(count, pieces, hop)
    out = np.zeros((count + pieces - 1, hop), frames.dtype)
    for piece in range(pieces):
        out[piece : piece + count] += padded[:, piece]
    return out.reshape(-1)[: (count - 1) * hop + size]
