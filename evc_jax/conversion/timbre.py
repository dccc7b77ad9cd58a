"""The timbre of a wished voice: what changes in the spectrum of a recording, from two embeddings.

The timbre converter proposes a change of the source. Once it is rendered, a few steps of gradient descent choose a
constant filter on top, for the voice encoder's embedding of the sound to come nearer to the wished voice: what the
network has learnt of speakers in general is adapted to this recording.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from evc_jax.audio.band_filter import filter_bands
from evc_jax.audio.config import AudioConfig
from evc_jax.audio.loudness import active_level_dbfs
from evc_jax.audio.mel import frame_count, highpass, log_mel
from evc_jax.features import speaker
from evc_jax.features.extract import Features
from evc_jax.features.register import MeasuredVoice
from evc_jax.features.timbre_critic import changed_power, distances, log_power
from evc_jax.models import voice_encoder
from evc_jax.models.network import Network, Params
from evc_jax.models.timbre_converter import cosines
from evc_jax.pretrained.bundle import TrainedNetwork

REFINEMENTS = 8
COSINES = 24
WINDOWS = 3
LARGEST_STEP_DB = 1.5
# Higher cosines are changed less, as adversarial patterns are fine.
STEP_FALL = 0.3
SIZE_WEIGHT = 0.0008
NEARNESS_WEIGHT = 0.5
# Frames that are not quieter than the loud ones by more are speech with a voice, most of them.
LOUD_RANGE_DB = 20.0
LARGEST_SPECTRUM_DB = 15.0
# Recordings are padded to a multiple of so many frames, so that few programs are compiled.
BLOCK_FRAMES = 256


def proposed_change_db(
    features: Features, target: Float[np.ndarray, " E"], register_shift: float, converter: TrainedNetwork
) -> Float[np.ndarray, "T F"]:
    """What the timbre converter changes in the spectrum of a recording for it to sound like the target.

    Args:
      features: of the recording.
      target: embedding of the speaker it shall sound like.
      register_shift: what is added to the recording's log F0.
      converter: the trained timbre converter.
    """
    frames = len(features.mel)
    mel = np.pad(features.mel, ((0, -frames % BLOCK_FRAMES), (0, 0)))
    inputs = (mel[None], features.embedding[None], target[None], np.array([register_shift], np.float32))
    return np.asarray(_propose(converter)(*inputs))[0, :frames]


def matching_filter_db(
    sound: Float[np.ndarray, " S"],
    source: Float[np.ndarray, " E"],
    wished: Float[np.ndarray, " E"],
    config: AudioConfig,
    known: MeasuredVoice | None = None,
) -> Float[np.ndarray, " F"]:
    """The constant filter in dB of each mel band that brings a sound nearer to a voice.

    NOTE: the mean spectrum of a voice that is known helps: by a second verifier, of 10 conversions to each of two
    voices, the cosine rises from 0.52 to 0.54 and from 0.55 to 0.59, and DNSMOS by 0.1.

    Args:
      sound: rendered, with the change that the network proposed.
      source: embedding of the voice it shall not sound like.
      wished: embedding of the voice it shall sound like.
      config: whose mel bands they are.
      known: what is known of a speaker; how much it counts depends on how near the wished voice is.
    """
    first_db = np.zeros(config.mel_bands, np.float32)
    if known is not None and known.spectrum_db is not None and (share := known.nearness(wished)):
        first_db = np.float32(share) * _spectrum_filter_db(sound, known.spectrum_db, config)
        frames = frame_count(len(sound), config)
        sound, _ = with_voice(sound, np.repeat(first_db[None], frames, axis=0), config)
    windows = _windows(sound, config)
    return first_db + np.asarray(_refine(_encoder_params(), windows, source, wished, config.mel_bands, REFINEMENTS))


def mean_spectrum_db(mel: Float[np.ndarray, "T F"], config: AudioConfig) -> Float[np.ndarray, " F"]:
    """Mean over the loud frames of a log-mel spectrogram, in dB."""
    level_db = config.range_db * mel.mean(axis=1)
    loud = level_db >= np.percentile(level_db, 95) - LOUD_RANGE_DB
    return config.range_db * mel[loud].mean(axis=0)


def _spectrum_filter_db(
    sound: Float[np.ndarray, " S"], spectrum_db: Float[np.ndarray, " F"], config: AudioConfig
) -> Float[np.ndarray, " F"]:
    """The smooth filter without gain that gives a sound this mean spectrum."""
    basis = np.asarray(cosines(COSINES, np.arange(config.mel_bands), config.mel_bands))[1:]
    difference_db = spectrum_db - mean_spectrum_db(log_mel(sound, config), config)
    smooth_db = difference_db @ basis.T * (2 / config.mel_bands) @ basis
    return np.clip(smooth_db, -LARGEST_SPECTRUM_DB, LARGEST_SPECTRUM_DB).astype(np.float32)


def with_voice(
    sound: Float[np.ndarray, " S"], filter_db: Float[np.ndarray, "T F"], config: AudioConfig, gain: float | None = None
) -> tuple[Float[np.ndarray, " S"], float]:
    """The sound with another voice's filter, at the level that its speech has, and the gain that brings it there.

    A resonance may meet a harmonic: voices were up to 11 dB louder, and 8 dB less so 4 semitones higher.

    Args:
      sound: rendered.
      filter_db: of the voice, at each frame.
      config: of the frames.
      gain: that of the recording that this is a segment of; None measures it.
    """
    changed = filter_bands(sound, filter_db.astype(np.float32), config)
    if not sound.any():
        return sound, 1.0
    if gain is None:
        before, after = (active_level_dbfs(highpass(each, config), config) for each in (sound, changed))
        gain = 10 ** ((before - after) / 20)
    return changed * np.float32(gain), gain


@functools.lru_cache(maxsize=2)
def _propose(converter: TrainedNetwork):
    params = jax.device_put(converter.params)
    compiled = jax.jit(lambda params, *inputs: converter.network.apply(params, *inputs).db)
    return functools.partial(compiled, params)


@functools.cache
def _encoder_params() -> Params:
    return jax.device_put(voice_encoder.load_params(speaker.WEIGHTS))


def _windows(sound: Float[np.ndarray, " S"], config: AudioConfig) -> Float[np.ndarray, "W P K"]:
    """Stretches of the encoder's log power with speech in them."""
    if config.sample_rate_hz != speaker.SAMPLE_RATE_HZ:
        from evc_jax.audio.io import to_mono

        sound = to_mono(sound, config.sample_rate_hz, speaker.SAMPLE_RATE_HZ)
    length = speaker.PARTIAL_FRAMES
    sound = np.pad(sound, (0, max(0, length * speaker.MEL_HOP_SAMPLES - len(sound))))
    power = log_power(speaker.power_mel(sound))
    loudness = np.convolve(power.mean(axis=1), np.ones(length), "valid")
    places = np.array_split(np.arange(len(loudness)), WINDOWS) if len(loudness) >= WINDOWS else [np.arange(1)] * WINDOWS
    starts = [int(part[np.argmax(loudness[part])]) for part in places]
    return np.stack([power[start : start + length] for start in starts])


@functools.partial(jax.jit, static_argnames=("bands", "steps"))
def _refine(
    encoder_params: Params,
    log_power: Float[Array, "W P K"],
    source: Float[Array, " E"],
    wished: Float[Array, " E"],
    bands: int,
    steps: int,
) -> Float[Array, " F"]:
    encoder = Network(voice_encoder.VoiceEncoder, voice_encoder.VoiceEncoderConfig())
    basis = cosines(COSINES, np.arange(bands), bands)
    step_sizes = LARGEST_STEP_DB / (1 + STEP_FALL * jnp.arange(COSINES))

    def loss(heights_db):
        filter_db = jnp.broadcast_to(heights_db @ basis, (len(log_power), 2, bands))
        mean = jnp.mean(encoder.apply(encoder_params, changed_power(log_power, filter_db)), axis=0)
        distance, nearness = distances(mean / optax.safe_norm(mean, 1e-12), source, wished)
        return distance + NEARNESS_WEIGHT * nearness + SIZE_WEIGHT / 2 * jnp.sum(heights_db[1:] ** 2)

    optimizer = optax.adam(1.0)

    def step(_, state):
        heights_db, moments = state
        updates, moments = optimizer.update(jax.grad(loss)(heights_db), moments)
        return heights_db + step_sizes * updates, moments

    start = jnp.zeros(COSINES)
    heights_db, _ = jax.lax.fori_loop(0, steps, step, (start, optimizer.init(start)))
    # The first is a gain, which the loss does not depend on.
    return heights_db.at[0].set(0) @ basis
