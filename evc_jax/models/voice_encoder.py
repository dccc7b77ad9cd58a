"""The voice encoder of Resemblyzer: a speaker embedding from the last state of an LSTM over a mel-spectrogram.

Source: Wan et al. 2017, "Generalized End-to-End Loss for Speaker Verification", arXiv 1710.10467; sizes and trained
weights are those of resemble-ai/Resemblyzer (Apache-2.0), converted by `scripts/convert_voice_encoder.py`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx, traverse_util
from jaxtyping import Array, Float

from evc_jax.models.layers import Linear
from evc_jax.models.lstm import LSTM
from evc_jax.models.network import KeySequence, Params

MIN_NORM = 1e-12


@dataclass(frozen=True)
class VoiceEncoderConfig:
    """Widths of the voice encoder; the defaults are those of the released weights."""

    mel_bands: int = 40
    hidden: int = 256
    layers: int = 3
    embedding_dim: int = 256
    dtype: str = "float32"


class VoiceEncoder(nnx.Module):
    """A three-layer LSTM, a linear layer on its last state, a rectifier and L2 normalization."""

    def __init__(self, config: VoiceEncoderConfig, *, keys: KeySequence):
        self.lstm = LSTM(config.mel_bands, config.hidden, layers=config.layers, keys=keys, dtype=config.dtype)
        self.linear = Linear(config.hidden, config.embedding_dim, keys=keys, dtype=config.dtype)

    def __call__(self, mel: Float[Array, "B T F"]) -> Float[Array, "B E"]:
        """Embeds partial utterances: power mel-spectrograms of one length to non-negative unit vectors."""
        last = self.lstm(mel)[:, -1]
        positive = jax.nn.relu(self.linear(last).astype(jnp.float32))
        return positive / optax.safe_norm(positive, MIN_NORM, axis=-1, keepdims=True)


def save_params(path: str | os.PathLike, params: Params) -> None:
    """Writes the parameters as one `.npz` whose keys are the paths in the tree, joined by slashes."""
    np.savez_compressed(path, **traverse_util.flatten_dict(params, sep="/"))


def load_params(path: str | os.PathLike) -> Params:
    """Reads what `save_params` wrote."""
    with np.load(path) as arrays:
        return traverse_util.unflatten_dict(dict(arrays), sep="/")
