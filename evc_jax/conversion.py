"""Recording and wishes in, recording out: another emotion, another voice, any length.

The path: features -> F0 normalised over the recording -> windows of 192 frames -> SpeechSplit codes -> CodeGAN on some
of them -> SpeechSplit decoder with a speaker embedding -> cross-faded mel -> vocoder.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from evc_jax import features as extraction
from evc_jax import pitch, vocoder, windows
from evc_jax.audio import AudioConfig
from evc_jax.bundle import Bundle, load_bundle
from evc_jax.features import Features
from evc_jax.models.codes import replace_codes, select_codes
from evc_jax.voices import Voices
from evc_jax.wishes import DEFAULT_SIGMA, Voice, Wishes

# Windows go through the networks in batches of these sizes, so that no recording's length compiles anything anew.
_BATCH_SIZES = (1, 4, 16)


@dataclass(frozen=True, eq=False)
class Conversion:
    """A converted recording.

    Attributes:
      audio: float32 [S], as long as the source, at the source's level.
      sample_rate_hz: its rate.
      mel: the mel-spectrogram it was synthesised from, in [0, 1].
      embedding: the voice it was decoded with.
      source: features of the source.
      config: the settings of the mel.
    """

    audio: Float[np.ndarray, " S"]
    sample_rate_hz: int
    mel: Float[np.ndarray, "T F"]
    embedding: Float[np.ndarray, " C"]
    source: Features
    config: AudioConfig

    @functools.cached_property
    def f0_hz(self) -> Float[np.ndarray, " T"]:
        """F0 of the output, 0 where unvoiced; estimated when first asked for."""
        return pitch.estimate_f0(self.audio, self.config)


class Converter:
    """Converts recordings with one bundle; make it once and use it often, the first call compiles.

    Example:
      converter = Converter.load()
      result = converter.convert(samples, 44100, emotion="sad", strength=0.7, voice="sampled:female")
    """

    def __init__(self, bundle: Bundle):
        self.bundle = bundle
        self.voices = Voices(bundle)
        self._params: dict[str, Any] = {}
        self._convert_windows = jax.jit(self._trace_windows, static_argnames="emotional")

    @classmethod
    def load(cls, bundle: str | os.PathLike | Bundle | None = None) -> Converter:
        """Opens a bundle directory; None is the one shipped with the package.

        Raises:
          BundleError: see `bundle.load_bundle`.
        """
        return cls(bundle if isinstance(bundle, Bundle) else load_bundle(bundle))

    @property
    def emotions(self) -> tuple[str, ...]:
        """The names that `emotion` takes."""
        return self.bundle.emotions if self.bundle.has("codegan") else ()

    @property
    def sample_rate_hz(self) -> int:
        """The rate of every output."""
        return self.bundle.audio.sample_rate_hz

    def convert(
        self,
        audio: np.ndarray,
        rate_hz: int,
        *,
        emotion: str | None = None,
        strength: float | int = 1.0,
        voice: Voice = "original",
        seed: int = 0,
        vocoder: str | None = None,
        sigma: float | int = DEFAULT_SIGMA,
    ) -> Conversion:
        """Converts one recording.

        Args:
          audio: [S] or [S, channels], float or integer samples.
          rate_hz: their rate; the output has the bundle's.
          emotion, strength, voice, seed, vocoder, sigma: see `Wishes`.

        Raises:
          EvcError: the recording, a wish or the bundle does not allow it; the message says what to do.
        """
        wishes = Wishes(emotion, strength, voice, seed, vocoder, sigma)
        wishes.check(self.bundle)
        return self.convert_features(self.extract(audio, rate_hz), wishes)

    def extract(self, audio: np.ndarray, rate_hz: int) -> Features:
        """The features that every conversion of this recording shares."""
        return extraction.extract(audio, rate_hz, self.bundle.audio)

    def convert_features(self, features: Features, wishes: Wishes) -> Conversion:
        """Converts a recording whose features are at hand; saves time when it is converted more than once."""
        wishes.check(self.bundle)
        voice = self.voices.resolve(wishes.voice, wishes.seed)
        embedding = features.embedding if voice is None else voice
        mel = self._convert_mel(features, embedding, wishes)
        synthesise = vocoder.make_vocoder(wishes.vocoder or self.bundle.default_vocoder, self.bundle, wishes.sigma)
        sound = synthesise(mel, len(features.audio), wishes.seed) / np.float32(features.level_gain)
        return Conversion(sound, self.sample_rate_hz, mel, embedding, features, self.bundle.audio)

    def sample_voices(self, n: int, sex: str, seed: int = 0) -> Float[np.ndarray, "N C"]:
        """Draws new voices: see `voices.Voices.sample`."""
        return self.voices.sample(n, sex, seed)

    def _convert_mel(
        self, features: Features, embedding: Float[np.ndarray, " C"], wishes: Wishes
    ) -> Float[np.ndarray, "T F"]:
        statistics = pitch.log_f0_statistics(features.f0_hz)
        f0 = pitch.quantize_f0(pitch.normalize_f0(features.f0_hz, statistics), self._f0_classes)
        mel, f0 = windows.split(features.mel), windows.split(np.asarray(f0))
        # Strength 0 is the reconstruction itself, not an interpolation that rounds to it.
        emotional = wishes.emotion is not None and wishes.strength != 0
        names = ("speechsplit", "codegan") if emotional else ("speechsplit",)
        target = np.zeros(max(1, len(self.emotions)), np.float32)
        if emotional:
            target[self.emotions.index(wishes.emotion)] = 1
        wish = (jnp.asarray(embedding), jnp.asarray(target), jnp.float32(wishes.strength))
        converted = []
        for part in _batches(len(mel)):
            batch = (_pad(mel[part.first : part.end], part.size), _pad(f0[part.first : part.end], part.size))
            out = self._convert_windows(self._device_params(names), *batch, *wish, emotional=emotional)
            converted.append(np.asarray(out)[: part.end - part.first])
        return np.clip(windows.join(np.concatenate(converted), len(features.mel)), 0, 1)

    @property
    def _f0_classes(self) -> int:
        return self.bundle.network("speechsplit").config.f0_classes

    def _device_params(self, names: tuple[str, ...]) -> dict[str, Any]:
        for name in names:
            if name not in self._params:
                self._params[name] = jax.device_put(self.bundle.network(name).params)
        return {name: self._params[name] for name in names}

    def _trace_windows(
        self,
        params: dict[str, Any],
        mel: Float[Array, "B T F"],
        f0: Int[Array, "B T"],
        embedding: Float[Array, " C"],
        emotion: Float[Array, " K"],
        strength: Float[Array, ""],
        *,
        emotional: bool,
    ) -> Float[Array, "B T F"]:
        autoencoder = self.bundle.network("speechsplit").network
        f0_onehot = jax.nn.one_hot(f0, self._f0_classes)
        codes = autoencoder.apply(params["speechsplit"], mel, f0_onehot, method="encode")
        if emotional:
            generator = self.bundle.network("codegan").network
            source = select_codes(codes, self.bundle.code)
            target = jnp.broadcast_to(emotion, (len(mel), len(emotion)))
            converted = generator.apply(params["codegan"], source, target)
            codes = replace_codes(codes, self.bundle.code, source + strength * (converted - source))
        voices = jnp.broadcast_to(embedding, (len(mel), len(embedding)))
        return autoencoder.apply(params["speechsplit"], codes, voices, method="decode")


@dataclass(frozen=True)
class _Batch:
    first: int
    end: int
    size: int


def _batches(count: int) -> Iterator[_Batch]:
    first = 0
    while first < count:
        left = count - first
        size = next((size for size in _BATCH_SIZES if size >= left), _BATCH_SIZES[-1])
        yield _Batch(first, min(count, first + size), size)
        first += size


def _pad(x: np.ndarray, size: int) -> np.ndarray:
    return np.concatenate([x, np.zeros((size - len(x), *x.shape[1:]), x.dtype)])
