"""Training CodeGAN on the codes of a frozen SpeechSplit. Losses: `evc_jax.models.gan`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import grain
import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from evc_jax.bundle import CODES
from evc_jax.config import from_mapping, to_mapping
from evc_jax.data import pipeline
from evc_jax.data.source import open_split
from evc_jax.errors import ConfigError
from evc_jax.models import gan
from evc_jax.models.codegan import CodeDiscriminator, CodeGANConfig, CodeGenerator
from evc_jax.models.layers import Network
from evc_jax.training.checkpoints import load_for_inference
from evc_jax.training.codes import CODE_FIELDS, CodeEncoder, encode_split
from evc_jax.training.config import TrainConfig
from evc_jax.training.gan import Batch, GanSystem, GanTrainer, group_samples
from evc_jax.training.state import GanState


@dataclass(frozen=True)
class Options:
    """What is converted to what.

    Attributes:
      speechsplit: the work directory of the SpeechSplit training whose encoder is used, frozen.
      code: one of `CODES`.
      emotions: the emotions to convert between; utterances with another one are left out.
      overlap_frames: how much neighbouring windows of an utterance share; more gives more windows to train on.
      weights: of the loss terms.
      critic_steps: critic updates per generator update.
    """

    speechsplit: str = "runs/speechsplit"
    code: str = "pitch_rhythm"
    emotions: tuple[str, ...] = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
    overlap_frames: int = 160
    weights: gan.GanWeights = field(default_factory=lambda: gan.CODEGAN_WEIGHTS)
    critic_steps: int = 5

    def __post_init__(self):
        if self.code not in CODES:
            raise ConfigError(f"config.options.code is {self.code!r}; expected one of {', '.join(CODES)}.")
        if len(set(self.emotions)) < 2:
            raise ConfigError(f"config.options.emotions is {self.emotions}; name at least two different ones.")


class CodeGANSystem(GanSystem):
    """CodeGAN's losses and step. The number of emotions and of code channels follows from options and encoder."""

    def __init__(self, config: TrainConfig, workdir: epath.Path):
        self.config, self._workdir = config, workdir
        self.options = from_mapping(Options, config.options, "config.options")
        self._trained = load_for_inference(self.options.speechsplit)
        self._encoder = CodeEncoder(self._trained, self.options.code, self.options.overlap_frames)
        codes, emotion = self._codes("train")
        self.model = dataclasses.replace(
            from_mapping(CodeGANConfig, config.model, "config.model"),
            code_channels=codes.shape[-1],
            emotions=len(self.options.emotions),
        )
        counts = np.bincount(emotion, minlength=self.model.emotions)
        if not counts.all():
            missing = [name for name, count in zip(self.options.emotions, counts, strict=True) if not count]
            raise ConfigError(f"The training data has no utterance that is {', '.join(missing)}; leave it out.")
        # "Balanced": every emotion weighs the same in total, however many utterances it has.
        self._class_weights = jnp.asarray(len(emotion) / (self.model.emotions * counts), jnp.float32)
        self._log_shares = jnp.log(jnp.asarray(counts / len(emotion), jnp.float32))
        self.nets = gan.GanNetworks(Network(CodeGenerator, self.model), Network(CodeDiscriminator, self.model))
        self.trainer = GanTrainer(self.nets, config, self.options.critic_steps)

    def critic_loss(self, discriminator: Any, generator: Any, batch: Batch, keys: jax.Array):
        target, alpha = self._draw(keys)
        return gan.codegan_discriminator_loss(
            self.nets,
            discriminator,
            generator,
            batch["codes"],
            batch["emotion"],
            target,
            alpha,
            self._class_weights,
            self.options.weights,
        )

    def generator_loss(self, generator: Any, discriminator: Any, batch: Batch, keys: jax.Array):
        target, _ = self._draw(keys)
        return gan.codegan_generator_loss(
            self.nets,
            generator,
            discriminator,
            batch["codes"],
            batch["emotion"],
            target,
            self._class_weights,
            self.options.weights,
        )

    def data(self, split: str, batch_size: int) -> grain.IterDataset:
        train, size = split == "train", self.options.critic_steps
        dataset = pipeline.build(
            CodeSource(*self._codes(split)),
            pipeline.copy_record,
            batch_size * size if train else batch_size,
            self.config.seed,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
            read_threads=self.config.data.read_threads,
            train=train,
        )
        return dataset.map(lambda batch: group_samples(batch, size)) if train else dataset

    def networks(self) -> dict[str, dict[str, Any]]:
        return {"codegan": to_mapping(self.model)}

    def exported(self, state: GanState) -> dict[str, Any]:
        return {"codegan": state.generator}

    def _codes(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        data = self.config.data
        origin = {
            "speechsplit": [str(self.options.speechsplit), self._trained.step, self._trained.config],
            "data": [data.data_dir, data.datasets, split],
            "options": [self.options.code, self.options.emotions, self.options.overlap_frames],
        }
        source = open_split(data.data_dir, data.datasets, split, CODE_FIELDS)
        cache = self._workdir / "codes" / f"{split}.npz"
        return encode_split(self._encoder, source, self.options.emotions, cache, origin)

    def _draw(self, keys: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Target emotions [B] and interpolation factors [B].

        NOTE: targets are drawn from the emotions' shares in the data, which is what the reference's permutation of the
        batch's labels amounts to, but independent of how the batch lies over devices.
        """
        target_keys, alpha_keys = jax.vmap(jax.random.split, out_axes=1)(keys)
        target = jax.vmap(lambda key: jax.random.categorical(key, self._log_shares))(target_keys)
        return target, jax.vmap(jax.random.uniform)(alpha_keys)


class CodeSource:
    """Windows of codes as a grain source."""

    def __init__(self, codes: np.ndarray, emotion: np.ndarray):
        self._codes, self._emotion = codes, emotion

    def __len__(self) -> int:
        return len(self._codes)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        return {"codes": self._codes[index], "emotion": self._emotion[index]}

    def __repr__(self) -> str:
        # grain keeps a source's representation in its state.
        return f"CodeSource(windows={len(self)}, channels={self._codes.shape[-1]})"
