"""One vector of acoustic functionals for a recording, in the spirit of eGeMAPS: how it is spoken, not what is said.

Source: Eyben et al. 2016, "The Geneva Minimalistic Acoustic Parameter Set". NOTE: our own definitions on the project's
frames and F0, so that no other licence applies; jitter and shimmer are changes from frame to frame.
"""

from __future__ import annotations

import functools

import numpy as np
from jaxtyping import Bool, Float

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.loudness import ACTIVE_RANGE_DB
from evc_jax.audio.mel import frame_signal, hann_window, slaney_filters

LOUDNESS_BANDS = 26
LOUDNESS_EXPONENT = 0.3
CEPSTRA = 4
FORMANTS = 3
FORMANT_TOP_HZ = 5000.0
LPC_ORDER = 11
REFERENCE_HZ = 27.5
TINY = 1e-10

Track = Float[np.ndarray, " T"]


def functionals(
    audio: Float[np.ndarray, " S"], f0_hz: Track, config: AudioConfig
) -> tuple[tuple[str, ...], Float[np.ndarray, " D"]]:
    """Names and values of a recording's functionals.

    Args:
      audio: samples at the config's rate and level.
      f0_hz: at the config's frames, 0 where unvoiced.
      config: rate and frames.

    Returns:
      D names, and as many finite numbers; 0 stands for what the recording has no frames for.
    """
    from scipy import fft

    frames = frame_signal(audio, config.window_samples, config.hop_samples)
    window = hann_window(config.window_samples)
    spectra = fft.rfft((frames * window).astype(np.float32), axis=1)  # of float32 twice as fast as NumPy's
    power = (spectra.real**2 + spectra.imag**2).astype(np.float64) + TINY
    hz = np.fft.rfftfreq(config.window_samples, 1 / config.sample_rate_hz)
    total_db = 10 * np.log10(power.sum(axis=1))
    active = total_db > total_db.max() - ACTIVE_RANGE_DB
    voiced = f0_hz[: len(power)] > 0
    voiced = np.pad(voiced, (0, len(power) - len(voiced))) & active
    f0_hz = np.pad(f0_hz[: len(power)], (0, max(0, len(power) - len(f0_hz))))
    frame_s = config.hop_samples / config.sample_rate_hz
    values: dict[str, float] = {}
    _pitch(values, f0_hz, voiced, frame_s)
    bands = power @ _band_filters(config).T + TINY
    _loudness(values, bands, active, frame_s)
    _spectrum(values, power, bands, hz, voiced, active)
    _voice_quality(values, power, total_db, hz, f0_hz, voiced, config)
    _formants(values, power, voiced, config)
    _timing(values, voiced, active, frame_s)
    return tuple(values), np.nan_to_num(np.array(list(values.values())), posinf=0, neginf=0)


def _pitch(values: dict[str, float], f0_hz: Track, voiced: Bool[np.ndarray, " T"], frame_s: float) -> None:
    semitones = 12 * np.log2(np.where(voiced, f0_hz, REFERENCE_HZ) / REFERENCE_HZ)
    _percentiles(values, "f0", semitones[voiced])
    slopes = np.diff(semitones)[voiced[1:] & voiced[:-1]] / frame_s
    _slopes(values, "f0", slopes)
    both = voiced[2:] & voiced[1:-1] & voiced[:-2]
    values["jitter"] = _mean(np.abs(np.diff(semitones, 2))[both])


def _loudness(values: dict[str, float], bands: np.ndarray, active: Bool[np.ndarray, " T"], frame_s: float) -> None:
    loudness = (bands**LOUDNESS_EXPONENT).sum(axis=1)
    loudness = loudness / max(float(loudness[active].mean()), TINY)
    _percentiles(values, "loudness", loudness[active])
    smooth = np.convolve(loudness, np.ones(3) / 3, "same")
    _slopes(values, "loudness", (np.diff(smooth) / frame_s)[active[1:]])
    peaks = (smooth[1:-1] > smooth[:-2]) & (smooth[1:-1] >= smooth[2:]) & (smooth[1:-1] > 0.5)
    values["loudness_peaks_per_s"] = peaks.sum() / max(active.sum() * frame_s, frame_s)


def _spectrum(
    values: dict[str, float],
    power: np.ndarray,
    bands: np.ndarray,
    hz: np.ndarray,
    voiced: np.ndarray,
    active: np.ndarray,
) -> None:
    unvoiced = active & ~voiced
    decibels = 10 * np.log10(power)
    tracks = {
        "alpha_ratio": _band_db(power, hz, 1000, 5000) - _band_db(power, hz, 50, 1000),
        "hammarberg": decibels[:, _between(hz, 0, 2000)].max(1) - decibels[:, _between(hz, 2000, 5000)].max(1),
        "slope_0_500": _regression(decibels, hz, 50, 500),
        "slope_500_1500": _regression(decibels, hz, 500, 1500),
        "high_ratio": _band_db(power, hz, 4000, 7600) - _band_db(power, hz, 50, 4000),
    }
    level = 10 * np.log10(bands)
    cosines = np.cos(np.pi * np.outer(np.arange(1, CEPSTRA + 1), np.arange(LOUDNESS_BANDS) + 0.5) / LOUDNESS_BANDS)
    cepstra = level @ cosines.T / LOUDNESS_BANDS
    tracks |= {f"mfcc{i + 1}": cepstra[:, i] for i in range(CEPSTRA)}
    for name, track in tracks.items():
        values[f"{name}_mean"], values[f"{name}_std"] = _mean(track[voiced]), _std(track[voiced])
        if not name.startswith("mfcc"):
            values[f"{name}_unvoiced"] = _mean(track[unvoiced])
    shape = bands**LOUDNESS_EXPONENT
    shape = shape / shape.sum(axis=1, keepdims=True)
    flux = np.sqrt(np.square(np.diff(shape, axis=0)).sum(axis=1))
    values["flux_mean"], values["flux_std"] = _mean(flux[active[1:]]), _std(flux[active[1:]])
    values["flux_voiced"] = _mean(flux[voiced[1:]])
    # Over the whole recording: how much louder the voiced parts are than the rest of the speech.
    values["voiced_over_unvoiced_db"] = _mean(level.mean(1)[voiced]) - _mean(level.mean(1)[unvoiced])


def _voice_quality(
    values: dict[str, float],
    power: np.ndarray,
    total_db: Track,
    hz: np.ndarray,
    f0_hz: Track,
    voiced: Bool[np.ndarray, " T"],
    config: AudioConfig,
) -> None:
    """Harmonics-to-noise ratio, shimmer, and levels of the first harmonics and the third formant's region."""
    both = voiced[1:] & voiced[:-1]
    values["shimmer"], values["energy_std"] = _mean(np.abs(np.diff(total_db))[both]), _std(total_db[voiced])
    spectra, tracks = power[voiced], f0_hz[voiced]
    if not len(spectra):
        values |= dict.fromkeys(("hnr_mean", "hnr_std", "h1_h2_mean", "h1_a3_mean"), 0.0)
        return
    correlation = np.fft.irfft(spectra, axis=1)[:, : config.window_samples // 2]
    window = np.fft.irfft(np.square(np.abs(np.fft.rfft(hann_window(config.window_samples), 2 * config.window_samples))))
    correlation = correlation / np.maximum(window[: config.window_samples // 2] / window[0], 0.05)
    lags = np.clip(np.round(config.sample_rate_hz / tracks).astype(int), 2, correlation.shape[1] - 2)
    rows = np.arange(len(lags))
    peak = np.max([correlation[rows, lags + shift] for shift in (-1, 0, 1)], axis=0) / correlation[:, 0]
    peak = np.clip(peak, 0.01, 0.999)
    hnr_db = 10 * np.log10(peak / (1 - peak))
    values["hnr_mean"], values["hnr_std"] = _mean(hnr_db), _std(hnr_db)
    decibels = 10 * np.log10(spectra)
    first, second = (_level_at(decibels, multiple * tracks, hz) for multiple in (1, 2))
    values["h1_h2_mean"] = _mean(first - second)
    values["h1_a3_mean"] = _mean(first - decibels[:, _between(hz, 2300, 3500)].max(1))


def _formants(values: dict[str, float], power: np.ndarray, voiced: Bool[np.ndarray, " T"], config: AudioConfig) -> None:
    """Frequencies and bandwidths of the first formants, by linear prediction of the spectrum below 5 kHz."""
    names = [f"f{i + 1}_{what}" for i in range(FORMANTS) for what in ("mean", "std", "bandwidth")]
    top = int(FORMANT_TOP_HZ / config.sample_rate_hz * config.window_samples)
    # Pre-emphasis, as the voice falls by 6 dB an octave.
    emphasis = np.square(np.arange(top + 1) / top) + 1e-3
    correlation = np.fft.irfft(power[voiced][:, : top + 1] * emphasis, axis=1)[:, : LPC_ORDER + 1]
    if not len(correlation):
        values |= dict.fromkeys(names, 0.0)
        return
    index = np.abs(np.subtract.outer(np.arange(LPC_ORDER), np.arange(LPC_ORDER)))
    matrix = correlation[:, index] + 1e-4 * correlation[:, :1, None] * np.eye(LPC_ORDER)
    predictor = np.linalg.solve(matrix, correlation[:, 1:, None])[..., 0]
    companion = np.zeros((len(predictor), LPC_ORDER, LPC_ORDER))
    companion[:, 0], companion[:, np.arange(1, LPC_ORDER), np.arange(LPC_ORDER - 1)] = predictor, 1
    roots = np.linalg.eigvals(companion)
    rate_hz = 2 * top * config.sample_rate_hz / config.window_samples
    frequency = np.angle(roots) * rate_hz / (2 * np.pi)
    bandwidth = -np.log(np.maximum(np.abs(roots), TINY)) * rate_hz / np.pi
    # Of the poles that may be formants, the lowest ones.
    frequency = np.where((frequency > 150) & (bandwidth < 700), frequency, np.inf)
    order = np.argsort(frequency, axis=1)[:, :FORMANTS]
    frequency, bandwidth = np.take_along_axis(frequency, order, 1), np.take_along_axis(bandwidth, order, 1)
    for i in range(FORMANTS):
        found = np.isfinite(frequency[:, i])
        column = np.log(frequency[found, i])
        trio = _mean(column), _std(column), _mean(np.log(np.maximum(bandwidth[found, i], 1.0)))
        values |= dict(zip(names[3 * i : 3 * i + 3], trio, strict=True))


def _timing(values: dict[str, float], voiced: np.ndarray, active: np.ndarray, frame_s: float) -> None:
    inside = np.flatnonzero(active)
    span = slice(inside[0], inside[-1] + 1)
    span_s = (span.stop - span.start) * frame_s
    for name, mask in (("voiced", voiced[span]), ("unvoiced", ~voiced[span])):
        edges = np.flatnonzero(np.diff(np.pad(mask.astype(int), 1)))
        lengths_s = (edges[1::2] - edges[::2]) * frame_s
        values[f"{name}_length_mean"], values[f"{name}_length_std"] = _mean(lengths_s), _std(lengths_s)
        if name == "voiced":
            values["voiced_segments_per_s"] = len(lengths_s) / span_s
    values["voiced_share"] = float(voiced[span].mean())
    values["pause_share"] = float(1 - active[span].mean())


def _percentiles(values: dict[str, float], name: str, track: np.ndarray) -> None:
    low, middle, high = np.percentile(track, (20, 50, 80)) if len(track) else (0.0, 0.0, 0.0)
    values |= {f"{name}_p20": low, f"{name}_p50": middle, f"{name}_p80": high, f"{name}_range": high - low}
    values |= {f"{name}_mean": _mean(track), f"{name}_std": _std(track)}


def _slopes(values: dict[str, float], name: str, slopes: np.ndarray) -> None:
    for direction, part in (("rise", slopes[slopes > 0]), ("fall", -slopes[slopes < 0])):
        values[f"{name}_{direction}_mean"], values[f"{name}_{direction}_std"] = _mean(part), _std(part)


def _between(hz: np.ndarray, low_hz: float, high_hz: float) -> np.ndarray:
    return (hz >= low_hz) & (hz < high_hz)


def _band_db(power: np.ndarray, hz: np.ndarray, low_hz: float, high_hz: float) -> np.ndarray:
    return 10 * np.log10(power[:, _between(hz, low_hz, high_hz)].sum(axis=1))


def _regression(decibels: np.ndarray, hz: np.ndarray, low_hz: float, high_hz: float) -> np.ndarray:
    """Slope of the spectrum in dB per kHz."""
    chosen = _between(hz, low_hz, high_hz)
    x = (hz[chosen] - hz[chosen].mean()) / 1000
    return decibels[:, chosen] @ x / (x @ x)


def _level_at(decibels: np.ndarray, target_hz: np.ndarray, hz: np.ndarray) -> np.ndarray:
    """The highest level within a bin of the frequency of each frame."""
    bins = np.clip(np.round(target_hz / hz[1]).astype(int), 1, decibels.shape[1] - 2)
    return np.max([decibels[np.arange(len(bins)), bins + shift] for shift in (-1, 0, 1)], axis=0)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0


def _std(values: np.ndarray) -> float:
    return float(values.std()) if len(values) else 0.0


@functools.cache
def _band_filters(config: AudioConfig) -> np.ndarray:
    rate_hz = config.sample_rate_hz
    return slaney_filters(rate_hz, config.window_samples, LOUDNESS_BANDS, 50.0, rate_hz / 2).astype(np.float64)
