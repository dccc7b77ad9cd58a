"""Training CodeGAN on the codes of a frozen SpeechSplit. Losses: `evc_jax.models.gan.losses`.

Source: emo-clone's `codegan/solver_stargan.py` (github.com/alexbrx/emo-clone, 2020), after Choi et al. 2017, arXiv
1711.09020.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from evc_jax.data.dataset import dataset_info, open_split, utterance_ids
from evc_jax.errors import ConfigError
from evc_jax.models.gan import losses as gan_losses
from evc_jax.models.gan.codegan import CodeDiscriminator, CodeGANConfig, CodeGenerator
from evc_jax.pretrained.description import CODES
from evc_jax.pretrained.start import trained_network
from evc_jax.training.checkpoints import fingerprint
from evc_jax.training.parallel import mean_over_devices
from evc_jax.training.system import Batch, check_emotions
from evc_jax.training.systems.codegan_data import CODE_FIELDS, CodeEncoder, EncodedSplit, encode_split
from evc_jax.training.systems.gan import GanSystem


@dataclass(frozen=True)
class Options:
    """What is converted to what.

    Attributes:
      speechsplit: a bundle ("embedded" is the one of the package) or the work directory of a training, whose
        SpeechSplit encodes, frozen.
      speechsplit_checkpoint: which of a work directory's checkpoints, "best", "last" or a step; see
        `workdir.load_for_inference`.
      code: one of `CODES`.
      emotions: the emotions to convert between; utterances with another one are left out. Empty for those of the
        training data, see `training.emotions`.
      mixed_share: share of the targets that mix two of the emotions, with a weight that is drawn uniformly.
        NOTE: 0 is the reference, whose targets are single emotions. Mixtures are conversions between those of their
        emotions without it, too; after 400 steps of `small`, 0.5 had single emotions recognized less often.
      overlap_frames: how much neighbouring windows of an utterance share; more gives more windows to train on.
      weights: of the loss terms.
      discriminator_steps: updates of the discriminator per update of the generator.
    """

    speechsplit: str = "runs/speechsplit"
    speechsplit_checkpoint: str = "last"
    code: str = "pitch_rhythm"
    emotions: tuple[str, ...] = ()
    mixed_share: float = 0.0
    overlap_frames: int = 160
    weights: gan_losses.GanWeights = field(default_factory=lambda: gan_losses.CODEGAN_WEIGHTS)
    discriminator_steps: int = 5

    def __post_init__(self):
        if self.code not in CODES:
            raise ConfigError(f"config.options.code is {self.code!r}; expected one of {', '.join(CODES)}.")
        check_emotions(self.emotions)
        if not 0 <= self.mixed_share <= 1:
            raise ConfigError(f"config.options.mixed_share is {self.mixed_share}; expected 0 to 1.")


class CodeGANSystem(GanSystem):
    """CodeGAN's losses and data. The number of emotions and of code channels follows from options and encoder."""

    generator_type, discriminator_type, config_type = CodeGenerator, CodeDiscriminator, CodeGANConfig
    options_type = Options
    options: Options
    model: CodeGANConfig

    def network_config(self) -> CodeGANConfig:
        """With the numbers of code channels and emotions.

        Raises:
          ConfigError: an emotion is missing in the training data.
        """
        train = self.records("train")
        emotions = len(self.options.emotions)
        counts = np.bincount(train.emotion, minlength=emotions)
        # What it starts with may know more emotions; no sample has them, and no target.
        if not counts.all() and not self.config.init_from:
            missing = [name for name, count in zip(self.options.emotions, counts, strict=True) if not count]
            raise ConfigError(f"The training data has no utterance that is {', '.join(missing)}; leave it out.")
        # "Balanced": every emotion weighs the same in total, however many utterances it has.
        weights = len(train.emotion) / (np.count_nonzero(counts) * np.maximum(counts, 1))
        self._class_weights = jnp.asarray(weights, jnp.float32)
        self._log_shares = jnp.log(jnp.asarray(counts / len(train.emotion), jnp.float32))
        return dataclasses.replace(super().network_config(), code_channels=train.codes.shape[-1], emotions=emotions)

    def draw(self, batch: Batch, keys: jax.Array, batch_mean: Callable = mean_over_devices) -> Batch:
        """Adds target emotions [B, K], interpolation factors [B] and the emotions' weights [B].

        NOTE: targets are drawn from the emotions' shares in the data, which is what the reference's permutation of the
        batch's labels amounts to, but independent of how the batch lies over devices.
        """
        target_keys, alpha_keys = jax.vmap(jax.random.split, out_axes=1)(keys)
        target = jax.vmap(self._draw_target)(target_keys)
        return {
            **batch,
            "target": target,
            "alpha": jax.vmap(jax.random.uniform)(alpha_keys),
            "emotion_weight": gan_losses.sample_weights(self._class_weights, batch["emotion"], batch_mean),
            "target_weight": gan_losses.sample_weights(self._class_weights, target, batch_mean),
        }

    def _draw_target(self, key: jax.Array) -> Float[jax.Array, " K"]:
        """A sample's target: one emotion or a mixture of two."""
        first_key, second_key, mixed_key, weight_key = jax.random.split(key, 4)
        numbers = jnp.arange(len(self._log_shares))
        first = jax.random.categorical(first_key, self._log_shares)
        second = jax.random.categorical(second_key, jnp.where(numbers == first, -jnp.inf, self._log_shares))
        mixed = jax.random.bernoulli(mixed_key, self.options.mixed_share)
        weight = jnp.where(mixed, jax.random.uniform(weight_key), 1.0)
        return jnp.where(numbers == first, weight, jnp.where(numbers == second, 1.0 - weight, 0.0))

    def fake(self, generator: Any, batch: Batch) -> jax.Array:
        return gan_losses.converted(self.nets, generator, batch["codes"], batch["target"])

    def discriminator_loss(self, discriminator: Any, batch: Batch):
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

    def sample_names(self, records: np.ndarray) -> list[str]:
        """The utterances behind record numbers of the training data, whose records are windows of code."""
        data = self.config.data
        return utterance_ids(data.data_dir, data.datasets, "train", self.records("train").utterance[records])

    @functools.cached_property
    def _encoder(self) -> tuple[CodeEncoder, str]:
        """The frozen encoder, and the fingerprint of its parameters."""
        trained = trained_network(self.options.speechsplit, "speechsplit", self.options.speechsplit_checkpoint)
        return CodeEncoder(trained, self.options.code, self.options.overlap_frames), fingerprint(trained.params)

    def records(self, split: str) -> EncodedSplit:
        data, (encoder, encoder_digest) = self.config.data, self._encoder
        origin = {
            "speechsplit": encoder_digest,
            "data": [split, [[name, dataset_info(data.data_dir, name)] for name in data.datasets]],
            "options": [self.options.code, self.options.emotions, self.options.overlap_frames],
        }
        source = open_split(data.data_dir, data.datasets, split, CODE_FIELDS)
        return encode_split(encoder, source, self.options.emotions, self._workdir / "codes" / f"{split}.npz", origin)
