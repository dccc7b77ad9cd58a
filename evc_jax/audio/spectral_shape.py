"""The spectrum that a mel-spectrogram describes, taken out of a recording or given to noise.

Both are one gain per coefficient of a lapped cosine transform (MDCT), whose blocks are the hops between frames. The
transform is orthonormal, so that whitening and coloring are exact inverses and the log-determinant is the sum of the
log gains. An STFT has neither property: speech that was whitened and colored with the same gains came back at 15 dB.

Sources: a vocoder whose noise has the spectrum of the mel, SpecGrad (Koizumi et al., arXiv 2203.16749); the transform:
Princen and Bradley 1986.
"""

from __future__ import annotations

import functools

import numpy as np
from jaxtyping import Float

from evc_jax.audio.band_filter import filter_bands
from evc_jax.audio.config import AudioConfig
from evc_jax.audio.mel import hann_window, log_mel, mel_filters, slaney_centres_hz

MARGIN_BLOCKS = 2  # a sample depends on so many blocks to either side of its own
PASSES = 4  # of `approach_mel`
_MOST_DB = 30.0
# Mains hum and rumble below the mel bands are in no mel; without a floor they are outliers of 20 deviations.
_FLOOR_BELOW_BANDS = 1e-3


def log_gains(mel: Float[np.ndarray, "T F"], config: AudioConfig) -> Float[np.ndarray, "T hop"]:
    """Logarithms of the standard deviations of noise with this mel, per block and cosine; float32.

    Block t lies between frames t and t + 1 and has their mean decibels; the last one has its frame's own. Frequencies
    between the centres of bands are interpolated, those outside have the gain of the outermost band.
    """
    per_band, per_cosine, floor = _mapping(config)
    mel = np.clip(mel, 0, 1)
    between = 0.5 * (mel + np.concatenate([mel[1:], mel[-1:]]))
    return np.maximum((between @ per_band + per_cosine).astype(np.float32), floor)


def whiten(sound: Float[np.ndarray, " S"], gains: Float[np.ndarray, "T hop"]) -> Float[np.ndarray, " S"]:
    """The sound without the spectrum of `log_gains`, of about unit variance; S = T * hop."""
    return _filtered(sound, np.exp(-gains))


def color(noise: Float[np.ndarray, " S"], gains: Float[np.ndarray, "T hop"]) -> Float[np.ndarray, " S"]:
    """The inverse of `whiten`."""
    return _filtered(noise, np.exp(gains))


def approach_mel(
    sound: Float[np.ndarray, " S"], mel: Float[np.ndarray, "T F"], config: AudioConfig, passes: int = PASSES
) -> Float[np.ndarray, " S"]:
    """The sound, whose mel is near the given one, filtered by what remains between the two; S = T * hop.

    What is left are the fluctuations of noise and the level. Copies of eight test recordings by an untrained WaveGlow
    were 3.1 dB from them (at a sigma of 1), after two passes 1.6 dB and after four 1.2 dB.
    """
    for _ in range(passes):
        missing_db = (np.clip(mel, 0, 1) - np.clip(log_mel(sound, config)[: len(mel)], 0, 1)) * config.range_db
        missing_db = np.clip(missing_db, -_MOST_DB, _MOST_DB)
        sound = filter_bands(sound, np.concatenate([missing_db, missing_db[-1:]]), config)
    return sound


def _filtered(sound: np.ndarray, factors: np.ndarray) -> np.ndarray:
    from scipy import fft

    cosines = fft.dct(_fold(sound.reshape(factors.shape), 1), type=4, norm="ortho", axis=1)
    blocks = fft.dct(cosines * factors, type=4, norm="ortho", axis=1)  # its own inverse
    return _fold(blocks, -1).reshape(-1).astype(np.float32)


def _fold(blocks: Float[np.ndarray, "T hop"], direction: int) -> Float[np.ndarray, "T hop"]:
    """Rotates the samples that lie opposite each other at the borders of blocks; direction -1 undoes 1."""
    size = blocks.shape[1]
    half = size // 2
    angles = 0.5 * np.pi * (0.5 - (np.arange(half) + 0.5) / size)
    cosine, sine = np.cos(angles).astype(np.float32), (direction * np.sin(angles)).astype(np.float32)
    before, after = blocks[:-1, : size - half - 1 : -1], blocks[1:, :half]
    folded = blocks.copy()
    folded[1:, :half] = cosine * after + sine * before
    folded[:-1, size - half :] = (cosine * before - sine * after)[:, ::-1]
    return folded


@functools.cache
def _mapping(config: AudioConfig) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The linear map from mel to log gains: weights [F, hop], what is added [hop], and the floor [hop]."""
    to_nepers, hop = np.log(10) / 20, config.hop_samples
    hz = (np.arange(hop) + 0.5) * config.sample_rate_hz / 2 / hop
    centres_hz = slaney_centres_hz(config.mel_bands, config.mel_min_hz, config.mel_max_hz)
    between = np.stack([np.interp(hz, centres_hz, one) for one in np.eye(config.mel_bands)])
    areas = np.maximum(mel_filters(config).sum(axis=1, dtype=np.float64), 1e-9)
    # The mean magnitude of a Rayleigh distribution: what noise of unit variance has in the mel's own spectra.
    unit = np.sqrt(np.pi) / 2 * np.sqrt(np.square(hann_window(config.window_samples), dtype=np.float64).sum())
    offset = (config.reference_db - config.range_db) * to_nepers - np.log(areas) - np.log(unit * config.gain)
    floor = np.where(hz < config.mel_min_hz, np.log(_FLOOR_BELOW_BANDS), -np.inf)
    return (between * config.range_db * to_nepers).astype(np.float32), offset @ between, floor.astype(np.float32)
