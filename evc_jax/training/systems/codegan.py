"""Training CodeGAN on the codes of a frozen SpeechSplit. Losses: `evc_jax.models.gan.losses`."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from evc_jax.config import from_mapping
from evc_jax.data.dataset import open_split, utterance_ids
from evc_jax.errors import ConfigError
from evc_jax.models.gan import losses as gan_losses
from evc_jax.models.gan.codegan import CodeDiscriminator, CodeGANConfig, CodeGenerator
from evc_jax.models.network import Network
from evc_jax.pretrained.bundle import CODES
from evc_jax.pretrained.workdir import Trained, load_for_inference
from evc_jax.training.config import TrainConfig
from evc_jax.training.parallel import mean_over_devices
from evc_jax.training.systems.codegan_data import CODE_FIELDS, CodeEncoder, EncodedSplit, encode_split
from evc_jax.training.systems.gan import Batch, GanSystem


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
    weights: gan_losses.GanWeights = field(default_factory=lambda: gan_losses.CODEGAN_WEIGHTS)
    critic_steps: int = 5

    def __post_init__(self):
        if self.code not in CODES:
            raise ConfigError(f"config.options.code is {self.code!r}; expected one of {', '.join(CODES)}.")
        if len(set(self.emotions)) < 2:
            raise ConfigError(f"config.options.emotions is {self.emotions}; name at least two different ones.")


class CodeGANSystem(GanSystem):
    """CodeGAN's losses and data. The number of emotions and of code channels follows from options and encoder."""

    def __init__(self, config: TrainConfig, workdir: epath.Path):
        self._workdir, self._data = workdir, config.data
        self.options = from_mapping(Options, config.options, "config.options")
        train = self._codes("train")
        emotions = len(self.options.emotions)
        counts = np.bincount(train.emotion, minlength=emotions)
        if not counts.all():
            missing = [name for name, count in zip(self.options.emotions, counts, strict=True) if not count]
            raise ConfigError(f"The training data has no utterance that is {', '.join(missing)}; leave it out.")
        # "Balanced": every emotion weighs the same in total, however many utterances it has.
        self._class_weights = jnp.asarray(len(train.emotion) / (emotions * counts), jnp.float32)
        self._log_shares = jnp.log(jnp.asarray(counts / len(train.emotion), jnp.float32))
        model = config.network_config(CodeGANConfig)
        model = dataclasses.replace(model, code_channels=train.codes.shape[-1], emotions=emotions)
        networks = gan_losses.GanNetworks(Network(CodeGenerator, model), Network(CodeDiscriminator, model))
        super().__init__(config, networks, self.options.critic_steps)

    def draw(self, batch: Batch, keys: jax.Array) -> Batch:
        """Adds target emotions, interpolation factors and the emotions' weights, all [B].

        NOTE: targets are drawn from the emotions' shares in the data, which is what the reference's permutation of the
        batch's labels amounts to, but independent of how the batch lies over devices.
        """
        target_keys, alpha_keys = jax.vmap(jax.random.split, out_axes=1)(keys)
        target = jax.vmap(lambda key: jax.random.categorical(key, self._log_shares))(target_keys)
        return {
            **batch,
            "target": target,
            "alpha": jax.vmap(jax.random.uniform)(alpha_keys),
            "emotion_weight": gan_losses.sample_weights(self._class_weights, batch["emotion"], mean_over_devices),
            "target_weight": gan_losses.sample_weights(self._class_weights, target, mean_over_devices),
        }

    def fake(self, generator: Any, batch: Batch) -> jax.Array:
        return gan_losses.converted(self.nets, generator, batch["codes"], batch["target"])

    def critic_loss(self, discriminator: Any, batch: Batch):
        return gan_losses.critic_loss(
            lambda codes: self.nets.discriminator.apply(discriminator, codes),
            batch["codes"],
            batch["emotion"],
            batch["fake"],
            batch["alpha"],
            self.options.weights,
            batch["emotion_weight"],
        )

    def generator_loss(self, generator: Any, discriminator: Any, batch: Batch):
        return gan_losses.codegan_generator_loss(
            self.nets,
            generator,
            discriminator,
            batch["codes"],
            batch["emotion"],
            batch["target"],
            batch["target_weight"],
            self.options.weights,
        )

    def records(self, split: str) -> CodeSource:
        return CodeSource(self._codes(split))

    def sample_names(self, records: np.ndarray) -> list[str]:
        """The utterances behind record numbers of the training data, whose records are windows of code."""
        return utterance_ids(self._data.data_dir, self._data.datasets, "train", self._codes("train").utterance[records])

    @functools.cached_property
    def _trained(self) -> Trained:
        return load_for_inference(self.options.speechsplit)

    @functools.cached_property
    def _encoder(self) -> CodeEncoder:
        return CodeEncoder(self._trained, self.options.code, self.options.overlap_frames)

    def _codes(self, split: str) -> EncodedSplit:
        data = self._data
        origin = {
            "speechsplit": [str(self.options.speechsplit), self._trained.step, self._trained.config],
            "data": [data.data_dir, data.datasets, split],
            "options": [self.options.code, self.options.emotions, self.options.overlap_frames],
        }
        source = open_split(data.data_dir, data.datasets, split, CODE_FIELDS)
        cache = self._workdir / "codes" / f"{split}.npz"
        return encode_split(self._encoder, source, self.options.emotions, cache, origin)


class CodeSource:
    """Windows of codes, one or several at a time: an `order.Table`."""

    def __init__(self, split: EncodedSplit):
        self._split = split

    def __len__(self) -> int:
        return len(self._split.codes)

    def __getitem__(self, index: int | np.ndarray) -> dict[str, Any]:
        return {"codes": self._split.codes[index], "emotion": self._split.emotion[index]}

    def __repr__(self) -> str:
        return f"CodeSource(windows={len(self)}, channels={self._split.codes.shape[-1]})"
