"""Mel spectrograms back to sound: Griffin-Lim, which needs no training, and WaveGlow in overlapping chunks."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Complex, Float

from evc_jax import audio
from evc_jax.audio import AudioConfig
from evc_jax.bundle import Bundle, TrainedNetwork
from evc_jax.models.network import Network
from evc_jax.models.waveglow import WaveGlowConfig, noise_shapes
from evc_jax.wishes import DEFAULT_SIGMA

GRIFFIN_LIM_ITERATIONS = 32
_MOMENTUM = 0.99  # fast Griffin-Lim (Perraudin et al. 2013)
_INVERSION_STEPS = 30
# WaveGlow is compiled for these lengths only. Recordings longer than the last one are cut into chunks.
CHUNK_FRAMES = (64, 128, 192, 256, 384, 512)


@runtime_checkable
class Vocoder(Protocol):
    """Anything that turns a mel spectrogram into sound."""

    def __call__(self, mel: Float[np.ndarray, "T F"], samples: int, seed: int) -> Float[np.ndarray, " S"]:
        """Synthesises exactly `samples` samples, silent past T * hop; the same seed gives the same sound."""


def griffin_lim(
    mel: Float[np.ndarray, "T F"],
    config: AudioConfig,
    *,
    length: int,
    iterations: int = GRIFFIN_LIM_ITERATIONS,
    seed: int = 0,
) -> Float[np.ndarray, " S"]:
    """Sound whose mel spectrogram is close to the given one, by fast Griffin-Lim.

    Args:
      mel: the bundle's mel in [0, 1] (see `audio.log_mel`).
      config: the settings the mel was computed with.
      length: samples to return; T frames carry at most (T - 1) * hop + window / 2 of them, the rest is silence.
      iterations: phase iterations; 32 for 60 s of speech take about two seconds on one core.
      seed: of the initial phase.
    """
    magnitude = mel_to_linear(mel, config)
    window = np.hanning(config.window_samples + 1)[:-1].astype(np.float32)
    norm = _overlap_add(np.broadcast_to(window**2, (len(mel), len(window))), config.hop_samples)
    norm = np.maximum(norm, 1e-2 * norm.max())
    phase = np.random.default_rng(seed).uniform(0, 2 * np.pi, magnitude.shape).astype(np.float32)
    angles = np.exp(1j * phase)
    previous = np.zeros_like(angles)
    for _ in range(iterations):
        signal = _inverse_stft(magnitude * angles, window, config.hop_samples) / norm
        rebuilt = _stft(signal, window, config.hop_samples)
        angles = rebuilt - _MOMENTUM / (1 + _MOMENTUM) * previous
        angles /= np.abs(angles) + 1e-12
        previous = rebuilt
    signal = _inverse_stft(magnitude * angles, window, config.hop_samples) / norm
    # The analysis centres frame t on sample t * hop, so half a window lies before the first sample.
    signal = signal[config.window_samples // 2 :][:length] / config.gain
    return np.pad(signal, (0, length - len(signal))).astype(np.float32)


def mel_to_linear(mel: Float[np.ndarray, "T F"], config: AudioConfig) -> Float[np.ndarray, "T bins"]:
    """Non-negative STFT magnitudes with the given mel, by multiplicative updates (Lee and Seung 2001).

    The mel of the result is within about 0.3 dB of the given one. An exact non-negative solver takes minutes for what
    this does in milliseconds.
    """
    filters = np.asarray(audio.mel_filters(config), np.float32)  # [F, bins]
    target = np.asarray(audio.mel_to_magnitude(mel, config), np.float32)
    linear = (target / np.maximum(filters.sum(1), 1e-8)) @ filters + 1e-8
    numerator = target @ filters
    for _ in range(_INVERSION_STEPS):
        linear *= numerator / np.maximum((linear @ filters.T) @ filters, 1e-10)
    return linear


def _stft(signal: np.ndarray, window: np.ndarray, hop: int) -> Complex[np.ndarray, "T bins"]:
    frames = np.lib.stride_tricks.sliding_window_view(signal, len(window))[::hop]
    return np.fft.rfft(frames * window, axis=1)


def _inverse_stft(spectrum: np.ndarray, window: np.ndarray, hop: int) -> Float[np.ndarray, " S"]:
    frames = np.fft.irfft(spectrum, len(window), axis=1)
    return _overlap_add(frames * window, hop)


def _overlap_add(frames: np.ndarray, hop: int) -> Float[np.ndarray, " S"]:
    """Sums frames that start every `hop` samples, piece by piece: the loop runs window / hop times."""
    count, size = frames.shape
    pieces = -(-size // hop)
    padded = np.pad(frames, ((0, 0), (0, pieces * hop - size))).reshape(count, pieces, hop)
    out = np.zeros((count + pieces - 1, hop), frames.dtype)
    for piece in range(pieces):
        out[piece : piece + count] += padded[:, piece]
    return out.reshape(-1)[: (count - 1) * hop + size]


@dataclasses.dataclass(frozen=True)
class GriffinLim:
    """The vocoder that needs no training."""

    config: AudioConfig
    iterations: int = GRIFFIN_LIM_ITERATIONS

    def __call__(self, mel: Float[np.ndarray, "T F"], samples: int, seed: int) -> Float[np.ndarray, " S"]:
        return griffin_lim(mel, self.config, length=samples, iterations=self.iterations, seed=seed)


class WaveGlowVocoder:
    """WaveGlow in chunks that overlap by its receptive field, which gives the samples of the whole file."""

    def __init__(self, trained: TrainedNetwork, sigma: float | int = DEFAULT_SIGMA):
        """`sigma` is the standard deviation of the noise."""
        self.config: WaveGlowConfig = trained.config
        self.sigma = sigma
        self._params = trained.params
        self._infer = compiled_inference(trained.network)

    def __call__(self, mel: Float[np.ndarray, "T F"], samples: int, seed: int) -> Float[np.ndarray, " S"]:
        frames = len(mel)
        size = self.chunk_frames(frames)
        mel = np.pad(mel, ((0, max(0, size - frames)), (0, 0)))
        noise = self._noise(len(mel), seed)
        out = np.zeros(len(mel) * self.config.upsample_stride, np.float32)
        for chunk in plan_chunks(len(mel), size, *self.context_frames()):
            part = self._synthesise(mel, noise, chunk.start, size)
            per_frame = self.config.upsample_stride
            kept = slice((chunk.first - chunk.start) * per_frame, (chunk.end - chunk.start) * per_frame)
            out[chunk.first * per_frame : chunk.end * per_frame] = part[kept]
        return np.pad(out[:samples], (0, max(0, samples - len(out))))

    def chunk_frames(self, frames: int) -> int:
        """The compiled length that a recording of so many frames uses."""
        longest = max(CHUNK_FRAMES[-1], 2 * sum(self.context_frames()))
        return next((size for size in (*CHUNK_FRAMES, longest) if size >= frames), longest)

    def context_frames(self) -> tuple[int, int]:
        """Frames before and after a sample that it depends on: the couplings' reach, and the upsampling's before it."""
        config = self.config
        groups = config.flows * (config.wn_kernel // 2) * (2**config.wn_layers - 1)
        couplings = -(-groups * config.group_samples // config.upsample_stride)
        return couplings + -(-config.upsample_kernel // config.upsample_stride) - 1, couplings

    def _noise(self, frames: int, seed: int) -> Float[np.ndarray, "G C"]:
        groups = frames * self.config.upsample_stride // self.config.group_samples
        generator = np.random.default_rng(seed)
        return generator.standard_normal((groups, self.config.group_samples), dtype=np.float32)

    def _synthesise(self, mel: np.ndarray, noise: np.ndarray, start: int, size: int) -> Float[np.ndarray, " S"]:
        per_frame = self.config.upsample_stride // self.config.group_samples
        chunk = noise[None, start * per_frame : (start + size) * per_frame]
        widths = [shape[-1] for shape in noise_shapes(self.config, 1, size)]
        parts = tuple(np.split(chunk, np.cumsum(widths)[:-1], axis=-1))
        return np.asarray(self._infer(self._params, mel[None, start : start + size], parts, np.float32(self.sigma)))[0]


@functools.cache
def compiled_inference(network: Network) -> Callable:
    """The jit-compiled `WaveGlow.infer` of a network; one per network, so that a new vocoder compiles nothing."""
    return jax.jit(functools.partial(network.apply, method="infer"))


@dataclasses.dataclass(frozen=True)
class Chunk:
    """A stretch to synthesise: `start` is its first frame, of which [first, end) are kept."""

    start: int
    first: int
    end: int


def plan_chunks(frames: int, size: int, before: int, after: int) -> list[Chunk]:
    """Chunks of exactly `size` frames whose kept stretches tile `frames`, each with its context inside the chunk.

    Args:
      frames: at least `size`.
      size: more than before + after.
      before: frames of context that a kept frame needs before it, unless the recording begins there.
      after: the same after it.
    """
    chunks, first = [], 0
    while first < frames:
        start = min(max(0, first - before), frames - size)
        end = frames if start + size == frames else start + size - after
        chunks.append(Chunk(start, first, end))
        first = end
    return chunks


def make_vocoder(name: str, bundle: Bundle, sigma: float | int = DEFAULT_SIGMA) -> Vocoder:
    """The vocoder of that name for a bundle's mel-spectrograms.

    Args:
      name: one of `wishes.VOCODERS`.
      bundle: whose audio settings and WaveGlow are used.
      sigma: WaveGlow's noise.

    Raises:
      BundleError: the bundle has no WaveGlow.
    """
    if name == "griffin-lim":
        return GriffinLim(bundle.audio)
    return WaveGlowVocoder(bundle.network("waveglow"), sigma)
