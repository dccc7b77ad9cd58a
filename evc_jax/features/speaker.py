"""Speaker embeddings: who speaks, as a non-negative unit vector of 256 values.

Preprocessing, partial utterances and averaging follow Resemblyzer (resemble-ai/Resemblyzer 0.1.4; GE2E, arXiv
1710.10467); the network is `models/voice_encoder.py`. JAX is imported when the first embedding is asked for.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from evc_jax.audio.mel import frame_blocks, hann_window, slaney_filters
from evc_jax.errors import ConfigError
from evc_jax.files import ASSETS

SAMPLE_RATE_HZ = 16000
INT16_MAX = 32767

TARGET_DBFS = -30.0
VAD_WINDOW_SAMPLES = 480
VAD_MODE = 3
VAD_SMOOTHING_WINDOWS = 8
VAD_MAX_SILENCE_WINDOWS = 6

MEL_BANDS = 40
MEL_WINDOW_SAMPLES = 400
MEL_HOP_SAMPLES = 160

PARTIAL_FRAMES = 160
PARTIALS_PER_S = 1.3
PARTIAL_STEP_FRAMES = round(SAMPLE_RATE_HZ / PARTIALS_PER_S / MEL_HOP_SAMPLES)
MIN_COVERAGE = 0.75
# The encoder is compiled for these numbers of partials only, whatever the length of the recording. Five rows are what
# XLA multiplies at once on a CPU: a sixth takes as long as five more.
BATCH_SIZES = (1, 3, 5)
# Of several recordings at once; a partial takes less time than in a batch of five.
GROUP_BATCH_SIZES = (16, 24)

WEIGHTS = ASSETS / "voice_encoder.npz"


# From samples at 16 kHz to a speaker embedding.
Embedder = Callable[[np.ndarray], np.ndarray]


def get_embedder(name: str) -> Embedder:
    """The embedder of that name: "jax" (ours) or "resemblyzer" (the original package, on PyTorch).

    Raises:
      ConfigError: another name, or the package is not installed.
    """
    if name == "jax":
        return embed
    if name == "resemblyzer":
        return _original_embedder()
    raise ConfigError(f"there is no embedder {name!r}; choose jax or resemblyzer.")


def embed(audio: Float[np.ndarray, " S"]) -> Float[np.ndarray, " E"]:
    """Embeds a recording: the normalized mean of the embeddings of its partial utterances.

    Args:
      audio: samples at 16 kHz, of any length and level.

    Returns:
      float32 [256], non-negative, of unit length.
    """
    return _unit(encode(partial_mels(audio)).mean(axis=0))


def embed_group(recordings: Sequence[Float[np.ndarray, "_N T F"]]) -> list[Float[np.ndarray, " E"]]:
    """`embed` of several recordings, from their `partial_mels`.

    All rows of these batches are computed alike, so that an embedding does not depend on the recordings beside it. It
    differs from `embed`'s by rounding.
    """
    embeddings = encode(np.concatenate(recordings), GROUP_BATCH_SIZES)
    ends = np.cumsum([len(partials) for partials in recordings])
    return [_unit(each.mean(axis=0)) for each in np.split(embeddings, ends[:-1])]


def partial_mels(audio: Float[np.ndarray, " S"]) -> Float[np.ndarray, "N T F"]:
    """The power mel-spectrograms of a recording's partial utterances, N >= 1; samples at 16 kHz."""
    speech = preprocess(audio)
    starts = partial_starts(len(speech))
    missing = (starts[-1] + PARTIAL_FRAMES) * MEL_HOP_SAMPLES - len(speech)
    mel = power_mel(np.pad(speech, (0, max(missing, 0))))
    return np.stack([mel[start : start + PARTIAL_FRAMES] for start in starts])


def embed_speaker(embeddings: Sequence[np.ndarray]) -> Float[np.ndarray, " E"]:
    """A speaker's embedding from those of utterances, each [256]: their mean, of unit length again.

    NOTE: the original system does not normalize the mean; an encoder's embeddings are all of unit length.
    """
    return _unit(np.mean(np.stack(embeddings), axis=0))


def preprocess(audio: Float[np.ndarray, " S"]) -> Float[np.ndarray, " S2"]:
    """Raises quiet recordings to -30 dBFS and removes long pauses; float32, S2 <= S.

    NOTE: a recording in which the detector finds no speech is kept whole, where the original fails.
    """
    audio = np.asarray(audio, np.float32)
    audio = audio * raising_gain(float(np.mean(np.square(audio, dtype=np.float64))))
    trimmed = trim_silences(audio)
    return trimmed if len(trimmed) else audio


def raising_gain(power: float) -> np.float32:
    """What a recording of this mean square is multiplied with, to be no quieter than `TARGET_DBFS`."""
    gain = 10 ** (TARGET_DBFS / 20) / np.sqrt(power) if power > 0 else 1.0
    return np.float32(max(gain, 1.0))


def trim_silences(audio: Float[np.ndarray, " S"]) -> Float[np.ndarray, " S2"]:
    """Keeps 30 ms windows that WebRTC's voice activity detector, smoothed over 8 and widened by 6, calls speech."""
    import webrtcvad
    from scipy.ndimage import binary_dilation

    detector = webrtcvad.Vad(VAD_MODE)
    audio = audio[: len(audio) // VAD_WINDOW_SAMPLES * VAD_WINDOW_SAMPLES]
    pcm, size = np.round(np.clip(audio, -1, 1) * INT16_MAX).astype("<i2").tobytes(), 2 * VAD_WINDOW_SAMPLES
    windows = (pcm[start : start + size] for start in range(0, len(pcm), size))
    speech = np.array([detector.is_speech(window, SAMPLE_RATE_HZ) for window in windows], dtype=bool)
    before = (VAD_SMOOTHING_WINDOWS - 1) // 2
    padded = np.pad(speech.astype(np.float64), (before, VAD_SMOOTHING_WINDOWS - 1 - before))
    smoothed = np.convolve(padded, np.full(VAD_SMOOTHING_WINDOWS, 1 / VAD_SMOOTHING_WINDOWS), mode="valid")
    kept = binary_dilation(np.round(smoothed).astype(bool), np.ones(VAD_MAX_SILENCE_WINDOWS + 1))[: len(speech)]
    return audio[np.repeat(kept, VAD_WINDOW_SAMPLES)]


def partial_starts(samples: int) -> np.ndarray:
    """First mel frames of the partial utterances of a recording of `samples` samples; int64, at least one.

    They lie 0.77 s apart and are 1.6 s long; the last one counts only when 75 % of it are in the recording.
    """
    frames = -(-(samples + 1) // MEL_HOP_SAMPLES)
    starts = np.arange(0, max(1, frames - PARTIAL_FRAMES + PARTIAL_STEP_FRAMES + 1), PARTIAL_STEP_FRAMES)
    coverage = (samples - starts[-1] * MEL_HOP_SAMPLES) / (PARTIAL_FRAMES * MEL_HOP_SAMPLES)
    return starts[:-1] if coverage < MIN_COVERAGE and len(starts) > 1 else starts


def power_mel(audio: Float[np.ndarray, " S"]) -> Float[np.ndarray, "T F"]:
    """Power mel spectrogram (no logarithm), 25 ms windows every 10 ms, zero padded at both ends; float32."""
    from scipy import fft

    padded = np.pad(audio.astype(np.float32, copy=False), MEL_WINDOW_SAMPLES // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, MEL_WINDOW_SAMPLES)[::MEL_HOP_SAMPLES]
    window = hann_window(MEL_WINDOW_SAMPLES)
    filters = slaney_filters(SAMPLE_RATE_HZ, MEL_WINDOW_SAMPLES, MEL_BANDS, 0.0, SAMPLE_RATE_HZ / 2)
    spectra = (fft.rfft(block * window, axis=1) for block in frame_blocks(frames))
    return np.concatenate([(spectrum.real**2 + spectrum.imag**2) @ filters.T for spectrum in spectra])


def encode(partials: Float[np.ndarray, "N T F"], sizes: Sequence[int] = BATCH_SIZES) -> Float[np.ndarray, "N E"]:
    """The embedding of each partial utterance's power mel spectrogram, in batches of these sizes (ascending)."""
    encoder = _compiled_encoder()
    embeddings = []
    for start in range(0, len(partials), sizes[-1]):
        batch = partials[start : start + sizes[-1]]
        size = next(size for size in sizes if size >= len(batch))
        padded = np.pad(batch, ((0, size - len(batch)), (0, 0), (0, 0)))
        embeddings.append(np.asarray(encoder(padded))[: len(batch)])
    return np.concatenate(embeddings)


@functools.cache
def _compiled_encoder():
    import jax

    from evc_jax.models import voice_encoder
    from evc_jax.models.network import Network

    network = Network(voice_encoder.VoiceEncoder, voice_encoder.VoiceEncoderConfig())
    params = jax.device_put(voice_encoder.load_params(WEIGHTS))
    compiled = jax.jit(network.apply)

    def encode(mel: np.ndarray) -> jax.Array:
        # An embedding is not to depend on the accelerator that computed it.
        with jax.default_matmul_precision("highest"):
            return compiled(params, mel)

    return encode


@functools.cache
def _original_embedder() -> Embedder:
    try:
        import resemblyzer
    except ImportError as error:
        raise ConfigError(
            f"the embedder resemblyzer needs its package ({error}); pip install 'evc_jax[resemblyzer]' or choose jax."
        ) from error
    encoder = resemblyzer.VoiceEncoder("cpu", verbose=False)

    def embed_with_original(audio: Float[np.ndarray, " S"]) -> Float[np.ndarray, " E"]:
        audio = np.asarray(audio, np.float32)
        speech = resemblyzer.preprocess_wav(audio, SAMPLE_RATE_HZ)
        return _unit(encoder.embed_utterance(speech if len(speech) else audio))

    return embed_with_original


def _unit(vector: np.ndarray) -> np.ndarray:
    return (vector / max(float(np.linalg.norm(vector)), 1e-12)).astype(np.float32)
