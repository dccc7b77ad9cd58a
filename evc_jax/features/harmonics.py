"""The harmonics of a log-mel spectrogram, moved to another melody while the spectral envelope stays.

SpeechSplit's pitch code is to hold the melody, and its content code none of it. A content code always holds some, as
the mel-spectrogram has the harmonics of low voices. NOTE: the reference changes the pitch code only. Here the
mel-spectrogram is changed with it, so that both codes hold the same melody.
"""

from __future__ import annotations

import functools

import numpy as np
from jaxtyping import Float

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.mel import band_cosines, mel_filters

# Combs are computed for these fundamentals; between them they are interpolated.
_LOWEST_HZ, _HIGHEST_HZ, _STEPS_PER_OCTAVE = 30.0, 1300.0, 36
# Between harmonics there is breath, this far below them.
_FLOOR_DB = -42.0
_HARMONICS_NEAR_A_BIN = 4
# Cepstral coefficients up to here are the envelope; harmonics of 60 to 600 Hz lie above.
_ENVELOPE_CEPSTRA = 16
# How deep the harmonics are is measured in each of these parts of the bands.
_PARTS = ((0.0, 0.2), (0.2, 0.4), (0.4, 1.0))
_MAX_DEPTH = 1.2
# Harmonics drawn a little deeper than the source's. With depth 1 the embedded bundle follows a shift of 4 semitones by
# 3.1 (median of 12 recordings), with this by 3.8.
_EMPHASIS = 1.3
# Below a quarter of a semitone a frame is redrawn in part, so that a tiny move makes a tiny change.
_OCTAVES_TO_REDRAW = 48


def move_harmonics(
    mel: Float[np.ndarray, "*T F"],
    from_hz: Float[np.ndarray, "*T"],
    to_hz: Float[np.ndarray, "*T"],
    config: AudioConfig,
) -> Float[np.ndarray, "*T F"]:
    """Draws the harmonics of each frame where another fundamental has them.

    Each frame is split into envelope and fine structure (cepstrally), and the share of the fine structure that looks
    like the comb of `from_hz` is drawn again as the comb of `to_hz`. Against recordings resynthesized by WORLD at +4
    semitones the error falls from 6.4 dB (unchanged) to 4.0 dB.

    Args:
      mel: log-mel in [0, 1].
      from_hz: its F0, 0 where unvoiced.
      to_hz: the wanted F0; frames that are unvoiced in either, or already at it, stay as they are.
      config: what the mel's bands are.
    """
    moved = (from_hz > 0) & (to_hz > 0) & (from_hz != to_hz)
    if not moved.any():
        return mel
    frames, smooth = mel[moved], envelope_filter(config.mel_bands)
    envelope = frames @ smooth
    share = np.minimum(1, np.abs(np.log2(to_hz[moved] / from_hz[moved])) * _OCTAVES_TO_REDRAW)[:, None]
    fine, old, new = frames - envelope, _combs(from_hz[moved], config), _combs(to_hz[moved], config)
    drawn = envelope.copy()
    for low, high in _PARTS:
        part = slice(round(low * config.mel_bands), round(high * config.mel_bands))
        likeness = (fine[:, part] * old[:, part]).sum(1) / np.maximum((old[:, part] ** 2).sum(1), 1e-9)
        drawn[:, part] += _EMPHASIS * np.clip(likeness, 0, _MAX_DEPTH)[:, None] * new[:, part]
    out = mel.copy()
    out[moved] = np.clip(frames + share.astype(np.float32) * (drawn - frames), 0, 1)
    return out


def _combs(f0_hz: np.ndarray, config: AudioConfig) -> Float[np.ndarray, "N F"]:
    """The fine structure of voices with these fundamentals and a flat envelope."""
    table = _comb_table(config)
    position = _STEPS_PER_OCTAVE * np.log2(np.clip(f0_hz, _LOWEST_HZ, _HIGHEST_HZ) / _LOWEST_HZ)
    index = np.minimum(position.astype(int), len(table) - 2)
    fraction = (position - index)[:, None].astype(np.float32)
    return (1 - fraction) * table[index] + fraction * table[index + 1]


@functools.cache
def _comb_table(config: AudioConfig) -> Float[np.ndarray, "N F"]:
    steps = int(np.ceil(_STEPS_PER_OCTAVE * np.log2(_HIGHEST_HZ / _LOWEST_HZ))) + 1
    filters = mel_filters(config)
    magnitudes = [_comb_magnitude(_LOWEST_HZ * 2 ** (i / _STEPS_PER_OCTAVE), config) for i in range(steps)]
    mels = 20 / config.range_db * np.log10(np.maximum(np.array(magnitudes) @ filters.T, 1e-9))
    return (mels - mels @ envelope_filter(config.mel_bands)).astype(np.float32)


def _comb_magnitude(f0_hz: float, config: AudioConfig) -> Float[np.ndarray, " bins"]:
    """Magnitude spectrum of harmonics of equal strength and a noise floor through the analysis window."""
    bins_hz = np.arange(config.window_samples // 2 + 1) * config.sample_rate_hz / config.window_samples
    nearest = np.round(bins_hz / f0_hz)
    power = np.full(len(bins_hz), 10 ** (_FLOOR_DB / 10))
    for offset in range(-_HARMONICS_NEAR_A_BIN, _HARMONICS_NEAR_A_BIN + 1):
        harmonic = nearest + offset
        distance_bins = np.abs(bins_hz - harmonic * f0_hz) * config.window_samples / config.sample_rate_hz
        power += np.where(harmonic >= 1, _hann_response(distance_bins) ** 2, 0)
    return np.sqrt(power)


def _hann_response(distance_bins: np.ndarray) -> np.ndarray:
    """Magnitude of a Hann window's transform, 1 in the middle; its zeros are two bins away."""
    beside = 1 - distance_bins**2
    is_next = np.abs(beside) < 1e-6
    return np.where(is_next, 0.5, np.sinc(distance_bins) / np.where(is_next, 1, beside))


@functools.cache
def envelope_filter(bands: int, cepstra: int = _ENVELOPE_CEPSTRA) -> Float[np.ndarray, "F F"]:
    """Projection of log-mels onto their first cepstral coefficients."""
    cosines = band_cosines(cepstra, bands)
    cosines = cosines / np.linalg.norm(cosines, axis=1, keepdims=True)
    return (cosines.T @ cosines).astype(np.float32)
