"""Systems without data on disk, and random batches for them: for timing, counting and testing a training step."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from evc_jax.audio.config import AudioConfig
from evc_jax.features import prosody
from evc_jax.features.speaker import MEL_BANDS
from evc_jax.features.timbre_critic import encoder_frames
from evc_jax.models.speechsplit.config import SpeechSplitConfig
from evc_jax.training.config import TrainConfig
from evc_jax.training.system import System, build_system
from evc_jax.training.systems import codegan
from evc_jax.training.systems.codegan_data import EncodedSplit
from evc_jax.training.systems.gan import GanSystem

CODE_WINDOW_FRAMES = 24
EMOTIONS = ["neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"]  # those of RAVDESS
CODE_WINDOWS = 1000


def system_without_data(config: TrainConfig, code_channels: int | None = None) -> System:
    """The system as it trains, made without a dataset and, CodeGAN, without a trained SpeechSplit.

    Its `data` still reads what the configuration names, except CodeGAN's, which is random codes.

    Args:
      config: of the training.
      code_channels: of CodeGAN's codes; None is what SpeechSplit's `full` size makes.
    """
    if not config.options.get("emotions", True):  # which a training finds in its data
        config = dataclasses.replace(config, options={**config.options, "emotions": EMOTIONS})
    if config.system == "codegan":
        return _CodeGANWithoutData(config, code_channels)
    return build_system(config, epath.Path("unused"))


def batch_shapes(system: System, samples: int) -> dict[str, jax.ShapeDtypeStruct]:
    """The shapes of a training batch; of a GAN's, `samples` is what each update of its discriminator takes."""
    lead = (samples, system.options.discriminator_steps) if isinstance(system, GanSystem) else (samples,)
    integers = ("index", "length", "sex", "emotion")
    return {
        name: jax.ShapeDtypeStruct(lead + shape, jnp.int32 if name in integers else jnp.float32)
        for name, shape in {**_sample_shapes(system), "index": ()}.items()
    }


def synthetic_batch(system: System, samples: int, seed: int = 0) -> dict[str, np.ndarray]:
    """A training batch of random values such as real ones have.

    Args:
      system: whose batch it is, for instance one `system_without_data`.
      samples: over all devices; of a GAN's batch, what each update of its discriminator takes.
      seed: another one gives other values, and other samples' numbers.

    Returns:
      arrays of the `batch_shapes`.
    """
    draw = np.random.default_rng(seed)
    batch = {}
    for name, leaf in batch_shapes(system, samples).items():
        if name == "index":
            values = np.arange(leaf.size).reshape(leaf.shape) + seed * leaf.size
        else:
            values = _draw(name, leaf.shape, system, draw)
        batch[name] = values.astype(leaf.dtype)
    return batch


def _sample_shapes(system: System) -> dict[str, tuple[int, ...]]:
    """The shape of each array of one sample, apart from `index` and `record`."""
    model = system.model
    match system.config.system:
        case "waveglow":
            samples = system.options.segment_samples
            shapes = {"audio": (samples,), "mel": (samples // model.upsample_stride + 1, model.mel_bands)}
            return shapes if model.prior == "white" else {**shapes, "log_gain": ()}
        case "voicegan":
            return {"embedding": (model.embedding_dim,), "sex": ()}
        case "codegan":
            return {"codes": (CODE_WINDOW_FRAMES, model.code_channels), "emotion": ()}
        case "prosody":
            change = (CODE_WINDOW_FRAMES, prosody.CHANGE_CHANNELS)
            track, summary = (CODE_WINDOW_FRAMES, prosody.TRACK_CHANNELS), (prosody.SUMMARY_CHANNELS,)
            arrays = {"track": track, "summary": summary, "change": change, "mask": change}
            return {**arrays, **dict.fromkeys(("emotion", "intensity", "aligned", "from_neutral", "pair_weight"), ())}
        case "timbre_converter":
            frames = system.sampling.mel_frames(AudioConfig())
            return {
                "mel": (frames, model.mel_bands),
                "voiced": (frames,),
                "log_power": (system.options.window_frames, MEL_BANDS),
                "source": (model.embedding_dim,),
                "target": (model.embedding_dim,),
                "register_shift": (),
                "spectrum_db": (model.mel_bands,),
            }
        case _:
            frames = model.resampling.padded_frames
            shapes = {"mel": (frames, 80), "f0": (frames,), "length": (), "speaker_embedding": (256,)}
            if getattr(system.options, "speaker_consistency_weight", 0):
                critic_frames = int(encoder_frames(model.resampling.max_length_frames))
                shapes |= {"log_power": (critic_frames, MEL_BANDS), "target": (256,)}
            return shapes


def _draw(name: str, shape: tuple[int, ...], system: System, draw: np.random.Generator) -> np.ndarray:
    match name:
        case "mel":
            return draw.random(shape)
        case "aligned" | "from_neutral" | "mask":
            return draw.integers(0, 1, shape, endpoint=True)
        case "intensity":
            return draw.choice([0.5, 1.0], shape)
        case "pair_weight":
            return draw.uniform(0.5, 1.5, shape)
        case "codes" | "track" | "summary" | "change" | "spectrum_db":
            return draw.normal(size=shape)
        case "voiced":
            return np.ones(shape)
        case "log_power":
            return draw.uniform(-6, -2, shape)
        case "log_gain":
            return draw.uniform(-8, -5, shape)
        case "register_shift":
            return draw.uniform(-0.5, 0.5, shape)
        case "audio":
            return 0.1 * draw.normal(size=shape)
        case "f0":  # a contour for each sample
            return 0.5 + 0.4 * np.sin(np.arange(shape[-1]) / draw.uniform(5, 30, (*shape[:-1], 1)))
        case "length":
            longest = system.model.resampling.max_length_frames
            return draw.integers(system.options.min_crop_frames, longest, shape, endpoint=True)
        case "sex":
            return draw.integers(0, system.model.sexes, shape)
        case "emotion":
            return draw.integers(0, system.model.emotions, shape)
        case _:  # a speaker embedding: not negative, of unit length
            embedding = np.abs(draw.normal(size=shape))
            return embedding / np.linalg.norm(embedding, axis=-1, keepdims=True)


class _CodeGANWithoutData(codegan.CodeGANSystem):
    """Random codes of emotions that are not equally frequent."""

    def __init__(self, config: TrainConfig, code_channels: int | None):
        self._code_channels = code_channels
        super().__init__(config, epath.Path("unused"))

    def records(self, split: str) -> EncodedSplit:
        draw, encoders = np.random.default_rng(0), SpeechSplitConfig()
        full = sum(getattr(encoders, part).code_channels for part in self.options.code.split("_"))
        shape = (CODE_WINDOWS, CODE_WINDOW_FRAMES, self._code_channels or full)
        return EncodedSplit(
            codes=draw.standard_normal(shape, np.float32),
            emotion=(len(self.options.emotions) * draw.random(CODE_WINDOWS) ** 2).astype(np.int32),
            utterance=np.arange(CODE_WINDOWS),
        )
