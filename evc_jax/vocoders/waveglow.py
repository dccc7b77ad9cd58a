"""WaveGlow in overlapping chunks, for recordings of any length (Prenger et al. 2018, arXiv 1811.00002)."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterator

import jax
import numpy as np
from jaxtyping import Float

from evc_jax.audio import spectral_shape
from evc_jax.audio.chunking import plan_chunks
from evc_jax.audio.config import AudioConfig
from evc_jax.jax_cache import memory_first
from evc_jax.models.network import Network
from evc_jax.models.waveglow.config import WaveGlowConfig
from evc_jax.models.waveglow.synthesis import SynthesisWeights, noise_shapes, synthesize
from evc_jax.pretrained.bundle import Bundle, TrainedNetwork
from evc_jax.vocoders import DEFAULT_SIGMA
from evc_jax.vocoders.denoiser import HOP_SAMPLES, WINDOW_SAMPLES, Denoiser, bias_spectrum

# WaveGlow is compiled for these lengths only. Recordings longer than the last one are cut into chunks.
CHUNK_FRAMES = (64, 128, 192, 256, 384, 512)


class WaveGlowVocoder:
    """WaveGlow in chunks that overlap by its receptive field, which gives the samples of the whole file."""

    def __init__(
        self,
        trained: TrainedNetwork,
        audio: AudioConfig,
        sigma: float = DEFAULT_SIGMA,
        denoiser: Denoiser | None = None,
    ):
        """`audio` are the mel's settings, `sigma` is the noise's deviation; `denoiser` is applied to the output."""
        self.config: WaveGlowConfig = trained.network.config
        self.audio = audio
        self.sigma = sigma
        self.denoiser = denoiser
        self._weights = synthesis_weights(trained)
        self._synthesize = compiled_synthesis(self.config)

    def __call__(self, mel: Float[np.ndarray, "T F"], samples: int, seed: int) -> Float[np.ndarray, " S"]:
        if self.config.prior == "white":
            return self._denoised(self.network_output(mel, samples, seed))
        whitened = self._denoised(self.network_output(mel, len(mel) * self.config.upsample_stride, seed))
        sound = spectral_shape.color(whitened, spectral_shape.log_gains(mel, self.audio))
        return _of_length(spectral_shape.approach_mel(sound, mel, self.audio), samples)

    def network_output(self, mel: Float[np.ndarray, "T F"], samples: int, seed: int) -> Float[np.ndarray, " S"]:
        """What the network makes of noise: the sound, or with a shaped prior the whitened sound."""
        return _of_length(np.concatenate(list(self._chunks(mel, seed))), samples)

    def _denoised(self, output: np.ndarray) -> np.ndarray:
        return output if self.denoiser is None else self.denoiser(output)

    def chunk_frames(self, frames: int) -> int:
        """The compiled length that a recording of so many frames uses."""
        longest = max(CHUNK_FRAMES[-1], 2 * sum(self.context_frames()))
        return next((size for size in (*CHUNK_FRAMES, longest) if size >= frames), longest)

    def context_frames(self) -> tuple[int, int]:
        """Frames before and after a sample that it depends on: the couplings' reach, and the upsampling's before it."""
        config = self.config
        groups = config.flows * (config.wn_kernel // 2) * (2**config.wn_layers - 1)
        groups += config.period_frames > 1  # a group may begin before the frame of its last sample
        couplings = -(-groups * config.group_samples // config.upsample_stride)
        return couplings + config.upsample_taps - 1, couplings

    def _chunks(self, mel: np.ndarray, seed: int) -> Iterator[Float[np.ndarray, " s"]]:
        stride, group, period = self.config.upsample_stride, self.config.group_samples, self.config.period_frames
        size, frames = (-(-count // period) * period for count in (self.chunk_frames(len(mel)), len(mel)))
        mel = np.pad(mel, ((0, max(frames, size) - len(mel)), (0, 0)))
        widths = [shape[-1] for shape in noise_shapes(self.config, 1, 1)]
        for chunk in plan_chunks(len(mel), size, *self.context_frames(), step=period):
            frames_of_chunk = mel[None, chunk.start : chunk.start + size]
            periods = range(chunk.start // period, (chunk.start + size) // period)
            noise = frame_noise(seed, periods, (period * stride // group, group))
            parts = tuple(np.split(noise[None], np.cumsum(widths)[:-1], axis=-1))
            sound = np.asarray(self._synthesize(self._weights, frames_of_chunk, parts, np.float32(self.sigma)))[0]
            yield sound[(chunk.first - chunk.start) * stride : (chunk.end - chunk.start) * stride]


def _of_length(sound: np.ndarray, samples: int) -> np.ndarray:
    return np.pad(sound[:samples], (0, max(0, samples - len(sound))))


def frame_noise(seed: int, numbers: range, shape: tuple[int, int]) -> Float[np.ndarray, "G C"]:
    """Standard normal noise of which each frame has its own, independent of the frames that are drawn with it.

    Args:
      seed: of all frames.
      numbers: the frames; those that hold no whole number of groups are counted in periods of as many as do.
      shape: of one frame's noise, [groups, channels].
    """
    counters = (np.random.Philox(key=seed, counter=[0, number, 0, 0]) for number in numbers)
    return np.concatenate([np.random.Generator(counter).standard_normal(shape, np.float32) for counter in counters])


_WEIGHTS: weakref.WeakKeyDictionary[TrainedNetwork, SynthesisWeights] = weakref.WeakKeyDictionary()


def synthesis_weights(trained: TrainedNetwork) -> SynthesisWeights:
    """A network's weights as `synthesize` takes them, on the device; computed once per network."""
    if trained not in _WEIGHTS:
        _WEIGHTS[trained] = _compiled_folding(trained.network)(trained.params)
    return _WEIGHTS[trained]


@functools.cache
def _compiled_folding(network: Network) -> Callable:
    return jax.jit(functools.partial(network.apply, method="synthesis_weights"))


@functools.cache
def compiled_synthesis(config: WaveGlowConfig) -> Callable:
    """The jit-compiled `synthesize`; one per configuration, so that a new vocoder compiles nothing."""
    # Scheduled otherwise, a CPU holds the conditioning of all layers: 400 MB for a second of sound, a fifth slower.
    return jax.jit(lambda weights, *inputs: synthesize(weights, config, *inputs), compiler_options=memory_first())


_BIASES: weakref.WeakKeyDictionary[Bundle, np.ndarray] = weakref.WeakKeyDictionary()


def waveglow_bias(bundle: Bundle) -> Float[np.ndarray, " bins"]:
    """The spectrum of the output of a bundle's WaveGlow for silence, away from its ends; computed once per bundle.

    Raises:
      BundleError: the bundle has no WaveGlow.
    """
    if bundle not in _BIASES:
        waveglow = WaveGlowVocoder(bundle.network("waveglow"), bundle.audio, sigma=0.0)
        before, after = waveglow.context_frames()
        stride = waveglow.config.upsample_stride
        frames = before + after + -(-(WINDOW_SAMPLES + HOP_SAMPLES) // stride)
        hum = waveglow.network_output(
            np.zeros((frames, waveglow.config.mel_bands), np.float32), frames * stride, seed=0
        )
        _BIASES[bundle] = bias_spectrum(hum[before * stride : (frames - after) * stride])
    return _BIASES[bundle]
