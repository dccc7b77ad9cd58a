"""Voices for a conversion: the source's own, a reference recording's, a stored one, or one sampled from VoiceGAN."""

from __future__ import annotations

import math
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from evc_jax import audio as recordings
from evc_jax import features as extraction
from evc_jax.bundle import Bundle
from evc_jax.errors import ConfigError
from evc_jax.wishes import ORIGINAL_VOICE, SAMPLED_VOICE, SEXES, Voice, check_sex

EMBEDDING_SIZE = 256


class Voices:
    """Turns the wish for a voice into a speaker embedding; reference recordings are embedded once."""

    def __init__(self, bundle: Bundle):
        self._bundle = bundle
        self._known: dict[tuple[str, int | None], np.ndarray] = {}

    def resolve(self, voice: Voice, seed: int = 0) -> Float[np.ndarray, " C"] | None:
        """The speaker embedding of a voice; None for "original", which every recording has of its own.

        Args:
          voice: "original"; "sampled:female" or "sampled:male"; the path of a recording or of a file that `evc voices`
            wrote (.npy); or an array, an embedding [256] or a recording [S] at the bundle's rate. Files are read once.
          seed: of a sampled voice.

        Raises:
          EvcError: it is none of these, or its file cannot be used.
        """
        if isinstance(voice, np.ndarray):
            return self._of_array(voice)
        name = os.fspath(voice)
        if name == ORIGINAL_VOICE:
            return None
        key = (name, seed if name.startswith(SAMPLED_VOICE) else None)
        if key not in self._known:
            self._known[key] = self._find(name, seed)
        return self._known[key]

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

        @jax.jit
        def draw(params, key):
            keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(n))
            noise = jax.vmap(lambda key: jax.random.normal(key, (generator.config.noise_dim,)))(keys)
            sexes = jax.nn.one_hot(jnp.full((n,), SEXES.index(sex)), generator.config.sexes)
            return generator.network.apply(params, noise, sexes)

        return np.asarray(draw(generator.params, jax.random.key(seed)))

    def _find(self, path: str, seed: int) -> Float[np.ndarray, " C"]:
        if path.startswith(SAMPLED_VOICE):
            return self.sample(1, path.removeprefix(SAMPLED_VOICE), seed)[0]
        if path.lower().endswith(".npy"):
            return read_voice(path)
        return self._of_array(recordings.load(path, self._bundle.audio.sample_rate_hz))

    def _of_array(self, voice: np.ndarray) -> Float[np.ndarray, " C"]:
        if voice.shape == (EMBEDDING_SIZE,):
            return _unit(voice, "The speaker embedding")
        config = self._bundle.audio
        return extraction.extract(voice, config.sample_rate_hz, config).embedding


def read_voice(path: str | os.PathLike) -> Float[np.ndarray, " C"]:
    """Reads a speaker embedding that `write_voices` wrote.

    Raises:
      ConfigError: the file is missing or holds something else.
    """
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ConfigError(f"The voice {path} cannot be read; give a file that `evc voices` wrote.") from error
    if not isinstance(values, np.ndarray) or values.shape != (EMBEDDING_SIZE,) or values.dtype.kind != "f":
        raise ConfigError(f"{path} does not hold the {EMBEDDING_SIZE} numbers of a voice; give a file of `evc voices`.")
    return _unit(values, f"The voice {path}")


def write_voices(folder: str | os.PathLike, names: list[str], voices: Float[np.ndarray, "N C"]) -> list[Path]:
    """Writes each voice as `folder`/NAME.npy, whole or not at all."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{name}.npy" for name in names]
    for file, voice in zip(files, voices, strict=True):
        beside = file.with_name(f".{file.name}.{os.getpid()}.npy")
        np.save(beside, voice.astype(np.float32))
        beside.replace(file)
    return files


def _unit(values: np.ndarray, what: str) -> Float[np.ndarray, " C"]:
    norm = float(np.linalg.norm(values.astype(np.float64)))
    if not (math.isfinite(norm) and norm > 0):
        raise ConfigError(f"{what} is zero or not finite; give {EMBEDDING_SIZE} values of a voice.")
    return (values / norm).astype(np.float32)
