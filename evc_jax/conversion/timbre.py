"""The timbre of another speaker: a change in dB of a recording's spectrum, from two embeddings.

The timbre converter proposes a change. A few steps of gradient descent then choose a constant filter on top of it, for
the voice encoder's embedding of the changed recording to come nearer to the target's: what the network has learnt of
speakers in general is adapted to this pair.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from evc_jax.audio.config import AudioConfig
from evc_jax.features import speaker
from evc_jax.features.extract import Features
from evc_jax.features.timbre_critic import changed_power, distances
from evc_jax.models import voice_encoder
from evc_jax.models.network import Network, Params
from evc_jax.models.timbre_converter import cosines
from evc_jax.pretrained.bundle import TrainedNetwork

# The change is of the network's own size times this.
STRENGTH = 1.0
REFINEMENTS = 8
WINDOWS = 3
LARGEST_STEP_DB = 1.5
# Higher cosines are changed less, as adversarial patterns are fine.
STEP_FALL = 0.3
SIZE_WEIGHT = 0.0008
NEARNESS_WEIGHT = 0.5
MIN_POWER = 1e-10
# Recordings are padded to a multiple of so many frames, so that few programs are compiled.
BLOCK_FRAMES = 256


def timbre_change_db(
    features: Features,
    target: Float[np.ndarray, " E"],
    register_shift: float,
    converter: TrainedNetwork,
    config: AudioConfig,
    refinements: int = REFINEMENTS,
) -> Float[np.ndarray, "T F"]:
    """What is to change in the spectrum of a recording for it to sound like the target.

    Args:
      features: of the recording.
      target: embedding of the speaker it shall sound like.
      register_shift: what is added to the recording's log F0.
      converter: the trained timbre converter.
      config: of the features.
      refinements: steps of gradient descent; 0 leaves the change as the network made it.
    """
    frames = len(features.mel)
    mel = np.pad(features.mel, ((0, -frames % BLOCK_FRAMES), (0, 0)))
    inputs = (mel[None], features.embedding[None], target[None], np.array([register_shift], np.float32))
    change_db = STRENGTH * np.asarray(_propose(converter)(*inputs))[0, :frames]
    if not refinements:
        return change_db
    log_power, windows_db = _windows(features, change_db, config)
    voices = features.embedding, target
    cosines_used = converter.network.config.cosines
    constant_db = _refine(_encoder_params(), log_power, windows_db, *voices, cosines_used, refinements)
    return change_db + np.asarray(constant_db)


@functools.lru_cache(maxsize=2)
def _propose(converter: TrainedNetwork):
    params = jax.device_put(converter.params)
    compiled = jax.jit(lambda params, *inputs: converter.network.apply(params, *inputs).db)
    return functools.partial(compiled, params)


@functools.cache
def _encoder_params() -> Params:
    return jax.device_put(voice_encoder.load_params(speaker.WEIGHTS))


def _windows(
    features: Features, change_db: Float[np.ndarray, "T F"], config: AudioConfig
) -> tuple[Float[np.ndarray, "W P K"], Float[np.ndarray, "W t F"]]:
    """Stretches of the encoder's log power with speech in them, and the change there."""
    hop, encoder_hop = config.hop_samples, speaker.MEL_HOP_SAMPLES
    length = -(-speaker.PARTIAL_FRAMES * encoder_hop // hop) + 1
    missing = max(0, length - len(change_db))
    change_db = np.pad(change_db, ((0, missing), (0, 0)), mode="edge")
    audio = np.pad(features.audio, (0, (missing + 1) * hop))
    log_power = np.log10(np.maximum(speaker.power_mel(audio), MIN_POWER))
    loudness = np.convolve(np.pad(features.mel.mean(axis=1), (0, missing)), np.ones(length), "valid")
    places = np.array_split(np.arange(len(loudness)), WINDOWS) if len(loudness) >= WINDOWS else [np.arange(1)] * WINDOWS
    starts = [int(part[np.argmax(loudness[part])]) for part in places]
    encoder_starts = [round(start * hop / encoder_hop) for start in starts]
    return (
        np.stack([log_power[start : start + speaker.PARTIAL_FRAMES] for start in encoder_starts]),
        np.stack([change_db[start : start + length] for start in starts]),
    )


@functools.partial(jax.jit, static_argnames=("count", "steps"))
def _refine(
    encoder_params: Params,
    log_power: Float[Array, "W P K"],
    change_db: Float[Array, "W t F"],
    source: Float[Array, " E"],
    target: Float[Array, " E"],
    count: int,
    steps: int,
) -> Float[Array, " F"]:
    """A filter in dB that brings the embedding of the changed windows nearer to the target."""
    encoder = Network(voice_encoder.VoiceEncoder, voice_encoder.VoiceEncoderConfig())
    bands = change_db.shape[-1]
    basis = cosines(count, np.arange(bands), bands)
    step_sizes = LARGEST_STEP_DB / (1 + STEP_FALL * jnp.arange(count))

    def loss(heights_db):
        power = changed_power(log_power, change_db + heights_db @ basis)
        mean = jnp.mean(encoder.apply(encoder_params, power), axis=0)
        distance, nearness = distances(mean / optax.safe_norm(mean, 1e-12), source, target)
        return distance + NEARNESS_WEIGHT * nearness + SIZE_WEIGHT / 2 * jnp.sum(heights_db[1:] ** 2)

    optimizer = optax.adam(1.0)

    def step(_, state):
        heights_db, moments = state
        updates, moments = optimizer.update(jax.grad(loss)(heights_db), moments)
        return heights_db + step_sizes * updates, moments

    start = jnp.zeros(count)
    heights_db, _ = jax.lax.fori_loop(0, steps, step, (start, optimizer.init(start)))
    return heights_db @ basis
