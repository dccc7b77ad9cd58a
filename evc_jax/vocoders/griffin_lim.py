"""Griffin-Lim: sound from mel spectrograms without training, in chunks that continue each other's phase.

Sources: fast Griffin-Lim (Perraudin et al. 2013); non-negative inversion of the mel filters (Lee and Seung 2001).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Complex, Float

from evc_jax.audio.chunking import cut, cut_chunks, exactly
from evc_jax.audio.config import AudioConfig
from evc_jax.audio.mel import mel_filters, mel_to_magnitude

ITERATIONS = 32
CHUNK_S = 60.0
# A chunk starts from so much of its predecessor's sound, so that its phase continues the predecessor's, ...
PAST_S = 0.5
# ... and its last frames, which no later ones support, are left to the next chunk.
FUTURE_S = 0.15
FADE_S = 0.03
_MOMENTUM = 0.99
_INVERSION_STEPS = 30


def griffin_lim(
    mel: Float[np.ndarray, "T F"],
    config: AudioConfig,
    *,
    length: int,
    iterations: int = ITERATIONS,
    seed: int | tuple[int, int] = 0,
    past: Float[np.ndarray, " P"] | None = None,
) -> Float[np.ndarray, " S"]:
    """Sound whose mel spectrogram is close to the given one, by fast Griffin-Lim.

    Args:
      mel: the bundle's mel in [0, 1] (see `audio.log_mel`).
      config: the settings the mel was computed with.
      length: samples to return; T frames carry at most (T - 1) * hop + window / 2 of them, the rest is silence.
      iterations: phase iterations; 32 for 60 s of speech take about two seconds on one core.
      seed: of the initial phase.
      past: sound that is known already and is kept at every iteration. It starts half a window before the first frame's
        centre; the returned sound starts at that centre, as it does without.
    """
    magnitude = mel_to_linear(mel, config)
    window = np.hanning(config.window_samples + 1)[:-1].astype(np.float32)
    norm = _overlap_add(np.broadcast_to(window**2, (len(mel), len(window))), config.hop_samples)
    norm = np.maximum(norm, 1e-2 * norm.max())
    known = np.zeros(0, np.float32) if past is None else (past * config.gain).astype(np.float32)
    angles = np.exp(1j * np.random.default_rng(seed).uniform(0, 2 * np.pi, magnitude.shape).astype(np.float32))
    previous = np.zeros_like(angles)
    for _ in range(iterations):  # in place as far as possible: each of these arrays has 15 MB a minute
        angles *= magnitude
        signal = _inverse_stft(angles, window, config.hop_samples) / norm
        signal[: len(known)] = known
        rebuilt = _stft(signal, window, config.hop_samples)
        previous *= -_MOMENTUM / (1 + _MOMENTUM)
        angles = np.add(rebuilt, previous, out=previous)
        angles /= np.abs(angles) + 1e-12
        previous = rebuilt
    angles *= magnitude
    signal = _inverse_stft(angles, window, config.hop_samples) / norm
    # The analysis centres frame t on sample t * hop, so half a window lies before the first sample.
    signal = signal[config.window_samples // 2 :][:length] / config.gain
    return np.pad(signal, (0, length - len(signal))).astype(np.float32)


def mel_to_linear(mel: Float[np.ndarray, "T F"], config: AudioConfig) -> Float[np.ndarray, "T bins"]:
    """Non-negative STFT magnitudes with the given mel, by multiplicative updates (Lee and Seung 2001).

    The mel of the result is within about 0.3 dB of the given one. An exact non-negative solver takes minutes for what
    this does in milliseconds.
    """
    filters = np.asarray(mel_filters(config), np.float32)  # [F, bins]
    target = np.asarray(mel_to_magnitude(mel, config), np.float32)
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
    frames *= window
    return _overlap_add(frames, hop)


def _overlap_add(frames: np.ndarray, hop: int) -> Float[np.ndarray, " S"]:
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


@dataclass(frozen=True)
class GriffinLim:
    """The vocoder that needs no training. Up to `chunk_s` seconds are one chunk, longer sound is made in several."""

    config: AudioConfig
    iterations: int = ITERATIONS
    chunk_s: float = CHUNK_S

    def __call__(self, mel: Float[np.ndarray, "T F"], samples: int, seed: int) -> Float[np.ndarray, " S"]:
        return np.concatenate(list(self.stream([mel], len(mel), samples, seed)))

    def stream(
        self, mels: Iterable[np.ndarray], frames: int, samples: int, seed: int
    ) -> Iterator[Float[np.ndarray, " s"]]:
        """See `vocoder.Vocoder.stream`."""
        size = min(frames, self._frames(self.chunk_s))
        if frames == size:
            (mel,) = cut(mels, [0], frames)
            yield griffin_lim(mel, self.config, length=samples, iterations=self.iterations, seed=seed)
            return
        yield from exactly(self._chunks(mels, frames, size, seed), samples)

    def _chunks(
        self, mels: Iterable[np.ndarray], frames: int, size: int, seed: int
    ) -> Iterator[Float[np.ndarray, " s"]]:
        """The kept stretch of each chunk; the next one replaces the last `FADE_S` of it, gradually."""
        hop, half = self.config.hop_samples, self.config.window_samples // 2
        fade = round(FADE_S * self.config.sample_rate_hz)
        rise = np.sin(np.linspace(0, np.pi / 2, fade, dtype=np.float32)) ** 2
        context = self._frames(PAST_S) + -(-half // hop), self._frames(FUTURE_S)
        heard = np.zeros(0, np.float32)  # the sound so far, up to `fade` samples behind the next chunk's first frame
        for number, (chunk, mel) in enumerate(cut_chunks(mels, frames, size, *context)):
            kept = (chunk.first - chunk.start) * hop
            past = _last(heard, kept + half + fade) if number else None
            sound = griffin_lim(
                mel,
                self.config,
                length=(chunk.end - chunk.start) * hop + fade,
                iterations=self.iterations,
                seed=(seed, number) if number else seed,
                past=past,
            )[kept:]
            if number:
                sound[:fade] = (1 - rise) * heard[-fade:] + rise * sound[:fade]
            last = chunk.end == frames
            yield sound if last else sound[: len(sound) - fade]
            heard = _last(np.concatenate([heard[: len(heard) - fade], sound]), size * hop + half + fade)

    def _frames(self, seconds: float) -> int:
        return max(1, round(seconds * self.config.sample_rate_hz / self.config.hop_samples))


def _last(sound: np.ndarray, samples: int) -> Float[np.ndarray, " S"]:
    """The last samples of a sound, after zeros where it has fewer."""
    return np.pad(sound, (max(0, samples - len(sound)), 0))[-samples:]
