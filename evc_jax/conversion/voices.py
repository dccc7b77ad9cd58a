"""Voices for a conversion: the source's own, that of recordings, a stored one, or one sampled from VoiceGAN."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from evc_jax.audio import io as audio_io
from evc_jax.audio.decoding import naming_errors
from evc_jax.conversion import voice_store
from evc_jax.conversion.options import ConversionOptions
from evc_jax.conversion.requested_voice import SAMPLED_VOICE, SEXES, Voice, check_sex, is_original
from evc_jax.errors import ConfigError
from evc_jax.features import EMBEDDING_DIM
from evc_jax.features import extract as extraction
from evc_jax.features.extract import Features
from evc_jax.files import atomic_file, recordings_in
from evc_jax.models.network import Network
from evc_jax.pretrained.bundle import Bundle


class Voices:
    """Turns a requested voice into a speaker embedding; reference recordings are embedded once."""

    def __init__(self, bundle: Bundle):
        self._bundle = bundle
        self._known: dict[tuple[str, int | None], np.ndarray] = {}

    def resolve(self, voice: Voice | Sequence[Voice], seed: int = 0) -> Float[np.ndarray, " C"] | None:
        """The speaker embedding of a voice; None for "original", which every recording has of its own.

        Args:
          voice: "original"; "sampled:female" or "sampled:male"; the path of a recording, of a folder of recordings of
            one speaker, or of a file that `evc voices` wrote (.npy); the name of a voice in `voice_store.voices_dir`,
            unless there is a path of that name; the name of a voice in the bundle, whatever else has it; an array, an
            embedding [256] or a recording [S] at the bundle's rate; or a sequence of these. Of several the mean
            embedding is taken, of unit length again. Files are read once.
          seed: of a sampled voice.

        Raises:
          EvcError: it is none of these, or its file cannot be used.
        """
        voices = ConversionOptions(voice=voice, seed=seed).voices
        if is_original(voices[0]):
            return None
        return mean_voice([self._one(each, seed) for each in voices])

    def clone(self, recordings: Sequence[str | os.PathLike]) -> Float[np.ndarray, " C"]:
        """The mean embedding of recordings and folders of recordings, each recording counting alike.

        Raises:
          EvcError: there are none, or one cannot be used; its name is given.
        """
        paths = map(Path, recordings)
        files = [file for path in paths for file in (recordings_in(path) if path.is_dir() else [path])]
        if not files:
            raise ConfigError("A voice needs at least one recording; give one.")
        return mean_voice([self.features_of(file).embedding for file in files])

    def features_of(self, recording: str | os.PathLike | np.ndarray) -> Features:
        """The features of a reference: a file, or samples [S] at the bundle's rate; raises AudioError with its name."""
        rate_hz = self._bundle.audio.sample_rate_hz
        if isinstance(recording, np.ndarray):
            return extraction.extract(recording, rate_hz, self._bundle.audio)
        with naming_errors(recording):
            return extraction.extract(audio_io.load(recording, rate_hz), rate_hz, self._bundle.audio)

    def sample(self, n: int, sex: str, seed: int = 0) -> Float[np.ndarray, "N C"]:
        """Draws new voices from VoiceGAN; voice i of a seed is the same whatever `n` is.

        Args:
          n: how many.
          sex: "male" or "female".
          seed: another seed draws others.
        """
        check_sex(sex)
        if n < 1:
            raise ConfigError(f"The number of voices is {n}; give at least 1.")
        generator = self._bundle.network("voicegan")
        draw = _compiled_draw(generator.network)
        return np.asarray(draw(generator.params, jax.random.key(seed), n, SEXES.index(sex)))

    def _one(self, voice: Voice, seed: int) -> Float[np.ndarray, " C"]:
        if isinstance(voice, np.ndarray):
            is_embedding = voice.shape == (EMBEDDING_DIM,)
            return _unit(voice, "The speaker embedding") if is_embedding else self.features_of(voice).embedding
        name = os.fspath(voice)
        key = (name, seed if name.startswith(SAMPLED_VOICE) else None)
        if key not in self._known:
            self._known[key] = self._find(name, seed)
        return self._known[key]

    def _find(self, name: str, seed: int) -> Float[np.ndarray, " C"]:
        if name.startswith(SAMPLED_VOICE):
            return self.sample(1, name.removeprefix(SAMPLED_VOICE), seed)[0]
        if known := self._bundle.voices.get(name):
            return known.embedding
        path = Path(name)
        if not path.exists():
            path = voice_store.find(name) or path
        return read_voice(path) if path.suffix.lower() == voice_store.SUFFIX else self.clone([path])


@functools.cache
def _compiled_draw(network: Network) -> Callable:
    """The jit-compiled sampling of `n` voices of a sex; one per network, so that another seed compiles nothing."""

    def draw(params, key, n, sex):
        keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(n))
        noise = jax.vmap(lambda key: jax.random.normal(key, (network.config.noise_dim,)))(keys)
        sexes = jax.nn.one_hot(jnp.full((n,), sex), network.config.sexes)
        return network.apply(params, noise, sexes)

    return jax.jit(draw, static_argnums=(2, 3))


def mean_voice(voices: Sequence[Float[np.ndarray, " C"]]) -> Float[np.ndarray, " C"]:
    """The mean of speaker embeddings, of unit length again; of one voice it is that voice, bit for bit."""
    if len(voices) == 1:
        return voices[0]
    return _unit(np.asarray(np.mean(voices, axis=0, dtype=np.float64)), "The mean voice")


def read_voice(path: str | os.PathLike) -> Float[np.ndarray, " C"]:
    """Reads a speaker embedding that `write_voices` wrote.

    Raises:
      ConfigError: the file is missing or holds something else.
    """
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ConfigError(f"The voice {path} cannot be read; give a file that `evc voices` wrote.") from error
    if not isinstance(values, np.ndarray) or values.shape != (EMBEDDING_DIM,) or values.dtype.kind != "f":
        raise ConfigError(f"{path} does not hold the {EMBEDDING_DIM} numbers of a voice; give a file of `evc voices`.")
    return _unit(values, f"The voice {path}")


def write_voices(folder: str | os.PathLike, names: list[str], voices: Float[np.ndarray, "N C"]) -> list[Path]:
    """Writes each voice as `folder`/NAME.npy, whole or not at all."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{name}.npy" for name in names]
    for file, voice in zip(files, voices, strict=True):
        with atomic_file(file) as beside, beside.open("wb") as stream:
            np.save(stream, voice.astype(np.float32))
    return files


def _unit(values: np.ndarray, what: str) -> Float[np.ndarray, " C"]:
    norm = float(np.linalg.norm(values.astype(np.float64)))
    if not (math.isfinite(norm) and norm > 0):
        raise ConfigError(f"{what} is zero or not finite; give {EMBEDDING_DIM} values of a voice.")
    return (values / norm).astype(np.float32)
